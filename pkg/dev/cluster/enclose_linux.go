package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

// encloseVariable tells a process of Enclose how far it has come.
const encloseVariable = "COINHOOK_ENCLOSED"

// Enclosed reports whether this process has network, mounts and processes of its
// own, all of which end with it.
func Enclosed() bool { return os.Getenv(encloseVariable) == "inside" }

// CanEnclose says why this process cannot be enclosed, nil if it can.
func CanEnclose() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("the command ip is missing: install iproute2")
	}
	probe := exec.Command("/bin/true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if err := probe.Run(); err != nil {
		return fmt.Errorf("this system makes no namespaces: %w", err)
	}
	return nil
}

const namespaces = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID

// Enclose runs this program once more, with its arguments, in namespaces for
// network, mounts and processes, and returns its exit status. Whatever it makes
// there the kernel removes with its last process, also when this process is
// killed. In the enclosed program it returns false at once.
func Enclose() (status int, done bool, err error) {
	switch os.Getenv(encloseVariable) {
	case "inside":
		return 0, false, nil
	case "init":
		status, err := initProcess()
		return status, true, err
	}
	if err := CanEnclose(); err != nil {
		return 1, true, err
	}
	cmd := again("init")
	// The signal of a parent's death is sent when its thread ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	status, err = relay(cmd)
	return status, true, err
}

func again(stage string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), encloseVariable+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// relay runs a command and hands it the signals that ask this process to end.
func relay(cmd *exec.Cmd) (status int, err error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("enclose: %w", err)
	}
	ctx, ended := context.WithCancel(context.Background())
	go func() {
		for {
			select {
			case <-signals:
				cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
			case <-ctx.Done():
				return
			}
		}
	}()
	err = cmd.Wait()
	ended()
	if _, isStatus := errors.AsType[*exec.ExitError](err); isStatus {
		err = nil
	}
	return cmd.ProcessState.ExitCode(), err
}

// initProcess is process 1 of the namespace: it makes it habitable, runs the
// program, and takes in processes whose parents have ended.
func initProcess() (status int, err error) {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return 1, fmt.Errorf("enclose: keep mounts apart: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return 1, fmt.Errorf("enclose: mount /proc: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return 1, err
	}
	if err := syscall.Mount("netns", "/run/netns", "tmpfs", 0, "mode=755"); err != nil {
		return 1, fmt.Errorf("enclose: mount /run/netns: %w", err)
	}
	if err := ip("link", "set", "lo", "up"); err != nil {
		return 1, err
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	cmd := again("inside")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("enclose: %w", err)
	}
	go func() {
		for range signals {
			cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
		}
	}()
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, fmt.Errorf("enclose: %w", err)
		case pid == cmd.Process.Pid && ws.Exited():
			return ws.ExitStatus(), nil
		case pid == cmd.Process.Pid:
			return 128 + int(ws.Signal()), nil
		}
	}
}
