package main

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is what is sent: flat out, or at a rate.
type load struct {
	connections int
	// rate is how many are due a second. 0: each connection sends its next request
	// as soon as the one before is answered.
	rate int
	// It lasts this long, or until this many are sent.
	lasts time.Duration
	total int
	// choose is uniform unless it is set.
	choose func(seed uint64) chooser
	// refused counts answers other than 202. Without it they are errors.
	refused *atomic.Int64
}

// request is one that was answered with 202.
type request struct {
	id            string
	event         int // its number
	due, answered time.Time
}

// sending is what was accepted.
type sending struct {
	start, end time.Time
	requests   []request
}

// send is flow that waits until everything has its effect.
func (s *side) send(ctx context.Context, l load) (sending, error) {
	sent, err := s.flow(ctx, l)
	if err == nil {
		_, err = s.settled(ctx, sent)
	}
	return sent, err
}

// flow sends the load.
func (s *side) flow(ctx context.Context, l load) (sent sending, err error) {
	senders, err := dial(ctx, s.host, l.connections)
	if err != nil {
		return sent, err
	}
	defer func() { err = errors.Join(err, hangUp(senders)) }()
	if l.choose == nil {
		l.choose = uniform
	}
	answered := make([][]request, len(senders))
	g, ctx := errgroup.WithContext(ctx)
	sent.start = time.Now()
	next := l.next(ctx, g, sent.start)
	seed := uint64(sent.start.UnixNano())
	for i, sender := range senders {
		choose := l.choose(seed + uint64(i))
		g.Go(func() error {
			for {
				due, more := next()
				if !more {
					return context.Cause(ctx)
				}
				event := choose(len(s.events))
				id, err := sender.send(s.events[event].request)
				if err != nil {
					if no := (refusal{}); l.refused != nil && errors.As(err, &no) {
						l.refused.Add(1)
						continue
					}
					return err
				}
				answered[i] = append(answered[i], request{id, event, due, time.Now()})
				s.sent.add(s.events[event].points)
			}
		})
	}
	err = g.Wait()
	sent.end = time.Now()
	sent.requests = slices.Concat(answered...)
	return sent, err
}

// next gives each connection the time at which its next request is due.
func (l load) next(ctx context.Context, g *errgroup.Group, start time.Time) func() (due time.Time, more bool) {
	if l.rate > 0 {
		dues := l.dues(ctx, g, start)
		return func() (time.Time, bool) {
			due, more := <-dues
			return due, more
		}
	}
	var taken atomic.Int64
	return func() (time.Time, bool) {
		now := time.Now()
		if ctx.Err() != nil || l.lasts > 0 && now.Sub(start) >= l.lasts {
			return now, false
		}
		return now, l.total == 0 || taken.Add(1) <= int64(l.total)
	}
}

// dues gives each request out when it is due, whether or not a connection is
// free: its latency counts from then.
func (l load) dues(ctx context.Context, g *errgroup.Group, start time.Time) <-chan time.Time {
	total := l.total
	if l.lasts > 0 {
		total = int(l.lasts.Seconds() * float64(l.rate))
	}
	dues := make(chan time.Time, total)
	g.Go(func() error {
		defer close(dues)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for k := range total {
			at := due(start, l.rate, k)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			sleepUntil(at)
			dues <- at
		}
		return nil
	})
	return dues
}
