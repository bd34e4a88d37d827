package process

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"syscall"
	"time"
)

// A child that dies is started again after minPause, twice as long with each
// death in a row, and after maxPause at most. A child that ran for steadyAfter
// has recovered, and the pause is short again.
const (
	minPause    = 100 * time.Millisecond
	maxPause    = 900 * time.Millisecond // it runs again within 1 s
	steadyAfter = 5 * time.Second
)

// Child is a supervised process: one name, and one process after the other.
type Child struct {
	spec    Spec
	logf    func(format string, args ...any)
	changed func()

	mu     sync.Mutex
	signal chan struct{} // closed and replaced at each change
	wanted bool
	closed bool
	proc   *Process // nil while it is down
	deaths int
	err    error

	loopDone chan struct{}
}

func newChild(spec Spec, logf func(string, ...any), changed func()) *Child {
	c := &Child{
		spec: spec, logf: logf, changed: changed,
		signal: make(chan struct{}), loopDone: make(chan struct{}),
	}
	go c.loop()
	return c
}

// Spec returns what the child is started with.
func (c *Child) Spec() Spec { return c.spec }

// PID is the id of the running process, 0 while there is none.
func (c *Child) PID() int {
	if p := c.process(); p != nil {
		return p.PID()
	}
	return 0
}

// Deaths counts the times the child ended, or could not be started, without
// having been stopped; err says how it went the last time.
func (c *Child) Deaths() (deaths int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deaths, c.err
}

// Start has the child run again after Stop. It does not wait for it.
func (c *Child) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = true
	c.broadcast()
}

// Stop asks the child to end and keeps it down. It is killed when ctx ends
// first; killed reports that.
func (c *Child) Stop(ctx context.Context) (killed bool) {
	c.mu.Lock()
	c.wanted = false
	c.broadcast()
	p := c.proc
	c.mu.Unlock()
	if p == nil {
		return false
	}
	killed = p.Stop(ctx)
	c.awaitGone(p)
	return killed
}

// Kill ends the running process with SIGKILL. The supervisor starts it again.
func (c *Child) Kill() {
	if p := c.process(); p != nil {
		p.Kill()
		c.awaitGone(p)
	}
}

// Signal sends a signal to the running process, if there is one.
func (c *Child) Signal(sig syscall.Signal) error {
	if p := c.process(); p != nil {
		return p.Signal(sig)
	}
	return nil
}

// close ends the supervision and the process.
func (c *Child) close() {
	c.mu.Lock()
	c.wanted, c.closed = false, true
	c.broadcast()
	p := c.proc
	c.mu.Unlock()
	if p != nil {
		p.Kill()
	}
	<-c.loopDone
}

func (c *Child) process() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.proc
}

// broadcast wakes everybody who waits for a change. The caller holds mu.
func (c *Child) broadcast() {
	close(c.signal)
	c.signal = make(chan struct{})
}

// awaitGone waits until the loop has taken note of the end of p.
func (c *Child) awaitGone(p *Process) {
	for {
		c.mu.Lock()
		signal, gone := c.signal, c.proc != p
		c.mu.Unlock()
		if gone {
			return
		}
		<-signal
	}
}

func (c *Child) loop() {
	defer close(c.loopDone)
	pause := minPause
	for c.awaitWanted() {
		started := time.Now()
		p := c.startOnce()
		if p != nil {
			c.changed()
			<-p.Done()
		}
		died := c.ended(p)
		c.changed()
		if !died {
			pause = minPause
			continue
		}
		if time.Since(started) >= steadyAfter {
			pause = minPause
		}
		c.pause(pause)
		pause = min(2*pause, maxPause)
	}
}

// awaitWanted returns when the child is to run; false means never again.
func (c *Child) awaitWanted() bool {
	for {
		c.mu.Lock()
		signal, wanted, closed := c.signal, c.wanted, c.closed
		c.mu.Unlock()
		if closed || wanted {
			return !closed
		}
		<-signal
	}
}

// startOnce holds mu while it starts the process: a Stop comes before it, and
// nothing is started, or after it, and finds the process.
func (c *Child) startOnce() *Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.wanted {
		return nil
	}
	c.proc, c.err = Start(c.spec)
	c.broadcast()
	return c.proc
}

// ended takes note that the process is gone, or could not be started, and
// reports whether that was its own doing.
func (c *Child) ended(p *Process) (died bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proc = nil
	c.broadcast()
	if p != nil {
		c.err = p.Err()
	}
	if !c.wanted {
		return false
	}
	c.deaths++
	how := cmp.Or(c.err, errors.New("exit status 0"))
	c.logf("%s ended (%v), it is started again; its log: %s", c.spec.Name, how, c.spec.LogFile)
	return true
}

// pause waits before the next start, for as long as nobody stops the child.
func (c *Child) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		c.mu.Lock()
		signal, wanted := c.signal, c.wanted
		c.mu.Unlock()
		if !wanted {
			return
		}
		select {
		case <-signal:
		case <-timer.C:
			return
		}
	}
}
