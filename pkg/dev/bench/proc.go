package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticks is the unit of times in /proc: the kernel's USER_HZ, 100 on all systems
// that Go runs on.
const ticks = time.Second / 100

// cpuOf is the time that a process and its children have used, also those that
// have ended.
func cpuOf(pid int) (used time.Duration, err error) {
	err = walk(pid, func(pid int) error {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return err
		}
		// The name, in brackets, may have blanks. After it: state, ppid, ...
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		for _, field := range fields[11:15] { // utime, stime, cutime, cstime
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return fmt.Errorf("read /proc/%d/stat: %w", pid, err)
			}
			used += time.Duration(n) * ticks
		}
		return nil
	})
	return used, err
}

// memoryOf is what a process has resident, in bytes, and the most that it had. Of
// one with children it is all of them together, where pages that they share are
// counted once, and nothing tells the most.
func memoryOf(pid int) (now, peak int64, err error) {
	children, err := childrenOf(pid)
	if err != nil {
		return 0, 0, err
	}
	if len(children) > 0 {
		err = walk(pid, func(pid int) error {
			n, err := kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
			now += n
			return err
		})
		return now, 0, err
	}
	status := fmt.Sprintf("/proc/%d/status", pid)
	if now, err = kilobytes(status, "VmRSS:"); err == nil {
		peak, err = kilobytes(status, "VmHWM:")
	}
	return now, peak, err
}

// kilobytes reads a line of a file in /proc, and gives it in bytes.
func kilobytes(path, name string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, name); found {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}

// walk visits a process and what it has started. A child may end meanwhile.
func walk(pid int, visit func(pid int) error) error {
	if err := visit(pid); err != nil {
		return err
	}
	children, err := childrenOf(pid)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := walk(child, visit); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func childrenOf(pid int) (children []int, err error) {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	for _, thread := range threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("read the children of %d: %w", pid, err)
			}
			children = append(children, child)
		}
	}
	return children, nil
}
