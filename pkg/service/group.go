package service

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Group runs actors side by side and stops them in order.
type Group struct{ actors []actor }

type actor struct {
	name     string
	deadline time.Duration
	run      func(context.Context) error
}

// Add adds an actor. run has to return once its context is done; after the
// deadline the group stops waiting for it. An actor that others need is added first.
func (g *Group) Add(name string, deadline time.Duration, run func(context.Context) error) {
	g.actors = append(g.actors, actor{name: name, deadline: deadline, run: run})
}

// Run starts the actors. When ctx is done or the first actor returns, it stops
// them one after the other, the last one first: each still has all that was
// added before it. The error names each actor that failed; an actor that
// returns unasked has failed.
func (g *Group) Run(ctx context.Context) error {
	first := make(chan error, len(g.actors))
	running := make([]runningActor, len(g.actors))
	for i, a := range g.actors {
		// An actor outlives ctx: it is stopped when its turn has come.
		actorCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		running[i] = runningActor{actor: a, stop: stop, done: done}
		go func() {
			err := a.run(actorCtx)
			if err == nil && actorCtx.Err() == nil {
				err = errors.New("ended unasked")
			}
			done <- err
			first <- err
		}()
	}
	select {
	case <-ctx.Done():
	case <-first:
	}
	var errs []error
	for i := len(running) - 1; i >= 0; i-- {
		errs = append(errs, running[i].end())
	}
	return errors.Join(errs...)
}

type runningActor struct {
	actor
	stop context.CancelFunc
	done <-chan error
}

// end stops the actor and waits for it.
func (a runningActor) end() error {
	a.stop()
	deadline := time.NewTimer(a.deadline)
	defer deadline.Stop()
	select {
	case err := <-a.done:
		if err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		return nil
	case <-deadline.C:
		return fmt.Errorf("%s: did not stop within %s", a.name, a.deadline)
	}
}
