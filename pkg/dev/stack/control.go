package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// A part that was just started is given up when it is not ready in time, or
// ended too often before it was.
const (
	readyWithin = 60 * time.Second
	endsAllowed = 3
)

// logLines of a part's log are shown when it does not become ready.
const logLines = 15

// PID is the process id of a part, 0 while it is down.
func (s *Stack) PID(name string) int {
	p, err := s.part(name)
	if err != nil {
		return 0
	}
	return p.child.PID()
}

// Names are those of the parts that the stack runs.
func (s *Stack) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, len(s.parts))
	for i, p := range s.parts {
		names[i] = p.name
	}
	return names
}

// OpsURL is where a service shows its health and metrics.
func (s *Stack) OpsURL(name string) string { return httpURL(s.state.Addrs[opsOf(name)]) }

// Kill ends a part with SIGKILL, as a crash would. It is started again.
func (s *Stack) Kill(name string) error {
	p, err := s.part(name)
	if err != nil {
		return err
	}
	p.child.Kill()
	return nil
}

// Pause freezes a part's process: it holds its connections and does nothing.
// PostgreSQL's sessions are processes of their own and are not frozen.
func (s *Stack) Pause(name string) error { return s.signal(name, syscall.SIGSTOP) }

// Resume ends Pause.
func (s *Stack) Resume(name string) error { return s.signal(name, syscall.SIGCONT) }

func (s *Stack) signal(name string, sig syscall.Signal) error {
	p, err := s.part(name)
	if err != nil {
		return err
	}
	if err := p.child.Signal(sig); err != nil {
		return fmt.Errorf("signal %s: %w", name, err)
	}
	return nil
}

// StopPart shuts a part down, kills it when ctx ends first, and keeps it down.
func (s *Stack) StopPart(ctx context.Context, name string) error {
	p, err := s.part(name)
	if err != nil {
		return err
	}
	if p.child.Stop(ctx) {
		return fmt.Errorf("%s did not stop in time and was killed", name)
	}
	return nil
}

// StartPart starts a part again after StopPart and waits until it is ready.
func (s *Stack) StartPart(ctx context.Context, name string) error {
	p, err := s.part(name)
	if err != nil {
		return err
	}
	p.child.Start()
	return s.Ready(ctx, name)
}

// Ready waits until the named parts are ready; all of them when none is named.
func (s *Stack) Ready(ctx context.Context, names ...string) error {
	if len(names) == 0 {
		names = s.Names()
	}
	for _, name := range names {
		p, err := s.part(name)
		if err != nil {
			return err
		}
		if err := process.Await(ctx, p.probe); err != nil {
			return p.notReady(err)
		}
	}
	return nil
}

func (s *Stack) part(name string) (*part, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, p := range s.parts {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return nil, fmt.Errorf("the stack runs no %q, but %s", name, strings.Join(names, ", "))
}

// awaitStart waits for a part's first readiness, and not in vain: a program
// that ends again and again, or cannot be started, is an error at once.
func (p *part) awaitStart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	err := process.Await(ctx, func(ctx context.Context) error {
		if deaths, err := p.child.Deaths(); deaths >= endsAllowed {
			cancel()
			return fmt.Errorf("it ended %d times, the last time with: %w", deaths, cmp.Or(err, errors.New("exit status 0")))
		}
		return p.probe(ctx)
	})
	if err != nil {
		return p.notReady(err)
	}
	return nil
}

// probe also looks for the process: what answers on its address while there is
// none is somebody else.
func (p *part) probe(ctx context.Context) error {
	if p.child.PID() == 0 {
		return fmt.Errorf("%s is down", p.name)
	}
	return p.ready(ctx)
}

func (p *part) notReady(err error) error {
	return withLog(fmt.Errorf("%s is not ready: %w", p.name, err), p.child.Spec().LogFile, p.logged)
}

// withLog adds the end of a log to an error.
func withLog(err error, path string, from int64) error {
	tail := process.Tail(path, from, logLines)
	if tail == "" {
		return fmt.Errorf("%w\n(it wrote nothing to %s)", err, path)
	}
	return fmt.Errorf("%w\nlast lines of %s:\n%s", err, path, tail)
}
