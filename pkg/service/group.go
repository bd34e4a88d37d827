package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Group runs actors side by side and stops them in order.
type Group struct{ actors []actor }

type actor struct {
	name     string
	deadline time.Duration
	run      func(context.Context) error
	// The rest is set while it runs.
	stop context.CancelFunc
	done chan error
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
	for i := range g.actors {
		a := &g.actors[i]
		// An actor outlives ctx: it is stopped when its turn has come.
		actorCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
		a.stop, a.done = stop, make(chan error, 1)
		go func() {
			err := a.run(actorCtx)
			if err == nil && actorCtx.Err() == nil {
				err = errors.New("ended unasked")
			}
			a.done <- err
			first <- err
		}()
	}
	select {
	case <-ctx.Done():
	case <-first:
	}
	var errs []error
	for _, a := range slices.Backward(g.actors) {
		errs = append(errs, a.end())
	}
	return errors.Join(errs...)
}

// end stops the actor and waits for it.
func (a actor) end() error {
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
