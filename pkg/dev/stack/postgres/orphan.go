package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// orphanWait is how long a server of an earlier run may take to end.
const orphanWait = 10 * time.Second

// AwaitEnd sees to it that no server runs in the data folder: it waits for
// one that is going down, and removes the pid file of one that is gone. The
// server itself is taken in by a pid that another program has by now.
func (c *Cluster) AwaitEnd(ctx context.Context) error {
	pidFile := filepath.Join(c.Data(), "postmaster.pid")
	pid, err := readPID(pidFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a PostgreSQL that still runs: %w", err)
	}
	if !isServer(pid, c.Data()) {
		return removeStale(pidFile)
	}
	if c.opts.Exclusive {
		c.opts.Logf("PostgreSQL (pid %d) of an earlier run is still there: waiting for its end", pid)
		syscall.Kill(pid, syscall.SIGINT) // it may just have ended
	}
	ctx, cancel := context.WithTimeout(ctx, orphanWait)
	defer cancel()
	err = process.Await(ctx, func(context.Context) error {
		if isServer(pid, c.Data()) {
			return fmt.Errorf("PostgreSQL (pid %d) still runs in %s: stop it with kill -INT %[1]d", pid, c.Data())
		}
		return nil
	})
	if err != nil {
		return err
	}
	return removeStale(pidFile)
}

func removeStale(pidFile string) error {
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove a stale pid file: %w", err)
	}
	return nil
}

// readPID returns the pid in the first line of a postmaster.pid, 0 when the
// file was not written to its end.
func readPID(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return 0, nil
	}
	return pid, nil
}

// isServer reports whether pid is a PostgreSQL at work in the data folder.
func isServer(pid int, data string) bool {
	if pid <= 0 {
		return false
	}
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	if runtime.GOOS == "linux" {
		cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
		if err != nil {
			// Gone, a zombie, or another user's process: not ours to wait for.
			return false
		}
		real, err := filepath.EvalSymlinks(data)
		return err == nil && cwd == real && commandIs(pid, "postgres")
	}
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "postgres") && strings.Contains(string(out), data)
}

func commandIs(pid int, name string) bool {
	comm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "comm"))
	return err == nil && strings.TrimSpace(string(comm)) == name
}
