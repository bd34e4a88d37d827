// Package process runs child processes that do not outlive their parent, and
// supervises them: one that dies is started again.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// Spec says how a child process is started.
type Spec struct {
	// Name is what messages call the process.
	Name string
	Path string
	Args []string
	// Env is the whole environment; nothing is inherited.
	Env []string
	Dir string
	// Input is what it reads from standard input.
	Input string
	// LogFile takes standard output and standard error, appended. Without it
	// they are thrown away.
	LogFile string
	// Credential is the user it runs as, where that is not the caller.
	Credential *syscall.Credential
	// StopSignal asks the process to end; SIGTERM when it is 0.
	StopSignal syscall.Signal
	// DeathSignal is what the kernel sends it when this process dies, whatever
	// the cause; SIGKILL when it is 0. Linux only.
	DeathSignal syscall.Signal
	// Network is the path of the network namespace that it runs in, such as
	// /run/netns/NAME; the caller's when it is empty. Linux only, as root.
	Network string
}

// Process is one running child.
type Process struct {
	spec Spec
	cmd  *exec.Cmd
	done chan struct{}
	// err is set before done is closed.
	err error
}

// Start starts the child in a process group of its own, so that a Ctrl-C in
// the terminal reaches the parent alone.
func Start(spec Spec) (*Process, error) {
	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env, cmd.Dir = nothingMore(spec.Env), spec.Dir
	if spec.Input != "" {
		cmd.Stdin = strings.NewReader(spec.Input)
	}
	cmd.SysProcAttr = attributes(spec)

	p := &Process{spec: spec, cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return p, nil
}

// run keeps the thread that started the child for as long as the child lives:
// the kernel sends the death signal when that thread ends, and the Go runtime
// ends threads as it likes.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	if p.spec.Network == "" {
		defer runtime.UnlockOSThread()
	} else if err := enterNetwork(p.spec.Network); err != nil {
		started <- err
		return // the thread is never unlocked, so it ends with the goroutine
	}

	if err := p.startLogged(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.done)
}

func (p *Process) startLogged() error {
	if p.spec.LogFile == "" {
		return p.cmd.Start()
	}
	log, err := os.OpenFile(p.spec.LogFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has a descriptor of its own
	p.cmd.Stdout, p.cmd.Stderr = log, log
	return p.cmd.Start()
}

// PID is the process id. It stays the same when the process has ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and was reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended: nil for exit status 0. Valid after Done.
func (p *Process) Err() error { return p.err }

// Signal sends a signal to the process. One that has ended is left alone.
func (p *Process) Signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop asks the process to end, waits for it, and kills it when ctx ends
// first. It reports whether the process had to be killed.
func (p *Process) Stop(ctx context.Context) (killed bool) {
	sig := p.spec.StopSignal
	if sig == 0 {
		sig = syscall.SIGTERM
	}
	p.Signal(sig)             // the wait below shows the effect
	p.Signal(syscall.SIGCONT) // a paused process handles no signal
	select {
	case <-p.done:
		return false
	case <-ctx.Done():
	}
	p.Kill()
	return true
}

// Kill ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL) // the wait below shows the effect
	<-p.done
}

// Run runs a command to its end. When ctx ends first the command is killed
// and the error is the context's.
func Run(ctx context.Context, spec Spec) error {
	p, err := Start(spec)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("%s: %w", spec.Name, context.Cause(ctx))
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("%s: %w", spec.Name, err)
	}
	return nil
}

// Output runs a command to its end and returns what it printed. An error also has
// what it wrote to standard error.
func Output(ctx context.Context, spec Spec) ([]byte, error) {
	cmd := exec.CommandContext(ctx, spec.Path, spec.Args...)
	cmd.Env, cmd.Dir, cmd.Stdin = nothingMore(spec.Env), spec.Dir, strings.NewReader(spec.Input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.Bytes(), fmt.Errorf("%s %s: %w\n%s", spec.Name, strings.Join(spec.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

// nothingMore keeps an empty environment from standing for the caller's.
func nothingMore(env []string) []string { return append([]string{}, env...) }

// KeyValues are settings as an environment has them, sorted.
func KeyValues(settings map[string]string) (env []string) {
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		env = append(env, key+"="+settings[key])
	}
	return env
}
