package access

import (
	"context"
	"errors"
)

// ErrBusy: too many sign-ins wait at this moment.
var ErrBusy = errors.New("too many sign-ins at this moment")

// gateQueue is how many wait, or look up their account, before one more is refused:
// a second's work.
const gateQueue = 16

// gate lets one hash at a time, which takes 32 MiB and about 50 ms, and a few wait.
type gate struct {
	places chan struct{} // of those that wait, too
	lane   chan struct{}
}

func newGate() *gate {
	return &gate{places: make(chan struct{}, gateQueue), lane: make(chan struct{}, 1)}
}

// queue takes a place, or returns ErrBusy at once.
func (g *gate) queue() (leave func(), err error) {
	select {
	case g.places <- struct{}{}:
		return func() { <-g.places }, nil
	default:
		return nil, ErrBusy
	}
}

// wait waits for the lane, no longer than ctx lasts.
func (g *gate) wait(ctx context.Context) (leave func(), err error) {
	select {
	case g.lane <- struct{}{}:
		return func() { <-g.lane }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// enter does both.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	place, err := g.queue()
	if err != nil {
		return nil, err
	}
	lane, err := g.wait(ctx)
	if err != nil {
		place()
		return nil, err
	}
	return func() { lane(); place() }, nil
}
