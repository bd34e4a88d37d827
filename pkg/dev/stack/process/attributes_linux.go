package process

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func attributes(spec Spec) *syscall.SysProcAttr {
	death := spec.DeathSignal
	if death == 0 {
		death = syscall.SIGKILL
	}
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death, Credential: spec.Credential}
}

// enterNetwork moves the calling thread, and the children that it starts, into
// a network namespace.
func enterNetwork(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("the network namespace: %w", err)
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network namespace %s: %w", path, err)
	}
	return nil
}
