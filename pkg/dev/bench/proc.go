package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
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

// residentMB is what a process has in memory. Of one with children it is all of them
// together, where pages that they share are counted once.
func residentMB(pid int) (float64, error) {
	children, err := process.Children(pid)
	if err != nil {
		return 0, err
	}
	if len(children) == 0 {
		n, err := process.Memory(pid, "status", "VmRSS")
		return megabytes(n), err
	}
	sum := 0.0
	err = walk(pid, func(pid int) error {
		n, err := process.Memory(pid, "smaps_rollup", "Pss")
		sum += megabytes(n)
		return err
	})
	return sum, err
}

// peakMB is the most that a process without children had in memory.
func peakMB(pid int) (float64, error) {
	n, err := process.Memory(pid, "status", "VmHWM")
	return megabytes(n), err
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

// walk visits a process and what it has started. A child may end meanwhile.
func walk(pid int, visit func(pid int) error) error {
	if err := visit(pid); err != nil {
		return err
	}
	children, err := process.Children(pid)
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
