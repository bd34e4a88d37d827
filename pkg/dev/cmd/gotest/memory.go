package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// sharedMemory is where Linux has a file system in memory.
const sharedMemory = "/dev/shm"

// roomNeeded is how much of it is to be free, in bytes. The tests of three packages use
// less than half at the same time.
const roomNeeded = 4 << 30

// useMemory has the tests keep their temporary files in memory where that is possible:
// their servers sync each commit and each message. A caller's own TMPDIR stays. Programs
// that tests link stay on the disk, because `go test` removes them at its end only.
func useMemory(parent string, room uint64) (forget func() error, err error) {
	if os.Getenv("TMPDIR") != "" {
		return func() error { return nil }, nil
	}
	dir, err := memoryFolder(parent, room)
	if err != nil {
		return func() error { return nil }, err
	}
	if os.Getenv("GOTMPDIR") == "" {
		err = os.Setenv("GOTMPDIR", os.TempDir())
	}
	return func() error { return os.RemoveAll(dir) }, errors.Join(err, os.Setenv("TMPDIR", dir))
}

// memoryFolder makes a folder of parent that serves as TMPDIR.
func memoryFolder(parent string, room uint64) (dir string, err error) {
	var system syscall.Statfs_t
	if err := syscall.Statfs(parent, &system); err != nil {
		return "", fmt.Errorf("%s: %w", parent, err)
	}
	if free := system.Bavail * uint64(system.Bsize); free < room {
		return "", fmt.Errorf("%s has %d MiB free, want %d", parent, free>>20, room>>20)
	}
	if dir, err = os.MkdirTemp(parent, "coinhook-test-"); err != nil {
		return "", err
	}
	// PostgreSQL's own account has to pass.
	if err = os.Chmod(dir, 0o711); err == nil {
		err = runsPrograms(dir)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// runsPrograms sees that a folder's programs can be run: containers often forbid that in
// memory.
func runsPrograms(dir string) error {
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		return err
	}
	return errors.Join(exec.Command(program).Run(), os.Remove(program))
}
