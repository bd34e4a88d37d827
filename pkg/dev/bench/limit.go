package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// limitPeriod is short, so that a limited process never rests for long.
const limitPeriod = 20 * time.Millisecond

// limit is one process that may use a share of a core only.
type limit struct {
	how  string
	undo func() error
}

// limitCPU takes a control group where this program may make one, of version 2 or
// of version 1. Else it stops and continues the process in each period.
func limitCPU(pid int, share float64) (limit, error) {
	quota := strconv.Itoa(int(share * float64(limitPeriod.Microseconds())))
	period := strconv.Itoa(int(limitPeriod.Microseconds()))
	for _, version := range []struct {
		how, root string
		able      func(root string) bool
		files     [][2]string
	}{
		{"cgroup v2, cpu.max", "/sys/fs/cgroup", hasCPU, [][2]string{{"cpu.max", quota + " " + period}}},
		{"cgroup v1, cpu.cfs_quota_us", "/sys/fs/cgroup/cpu", isWritable, [][2]string{{"cpu.cfs_period_us", period}, {"cpu.cfs_quota_us", quota}}},
	} {
		if !version.able(version.root) {
			continue
		}
		group := filepath.Join(version.root, fmt.Sprintf("coinhook-bench-%d", pid))
		undo := func() error {
			// The group can go once the process is out of it, or gone.
			os.WriteFile(filepath.Join(version.root, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0) // it may be gone
			return os.Remove(group)
		}
		if err := os.Mkdir(group, 0o755); err != nil {
			return limit{}, fmt.Errorf("make a control group: %w", err)
		}
		for _, file := range append(version.files, [2]string{"cgroup.procs", strconv.Itoa(pid)}) {
			if err := os.WriteFile(filepath.Join(group, file[0]), []byte(file[1]), 0); err != nil {
				return limit{}, errors.Join(fmt.Errorf("limit process %d: %w", pid, err), undo())
			}
		}
		return limit{version.how, undo}, nil
	}
	return limit{"SIGSTOP and SIGCONT in turns", dutyCycle(pid, share)}, nil
}

// hasCPU also has the children of the root get the cpu controller.
func hasCPU(root string) bool {
	controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil || !strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " cpu ") {
		return false
	}
	return os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu"), 0) == nil
}

func isWritable(root string) bool {
	if _, err := os.Stat(filepath.Join(root, "cpu.cfs_quota_us")); err != nil {
		return false
	}
	return syscall.Access(root, 2 /* W_OK */) == nil
}

// dutyCycle has the process run for its share of each period. On its own it counts
// time, not use: a process that waits wastes its share.
func dutyCycle(pid int, share float64) (undo func() error) {
	stop := make(chan struct{})
	var cycling sync.WaitGroup
	cycling.Go(func() {
		runs := time.Duration(share * float64(limitPeriod))
		for {
			for signal, lasts := range map[syscall.Signal]time.Duration{syscall.SIGSTOP: limitPeriod - runs, syscall.SIGCONT: runs} {
				syscall.Kill(pid, signal) // it may be gone
				select {
				case <-time.After(lasts):
				case <-stop:
					syscall.Kill(pid, syscall.SIGCONT) // the same
					return
				}
			}
		}
	})
	return func() error {
		close(stop)
		cycling.Wait()
		return nil
	}
}
