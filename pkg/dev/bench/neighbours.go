package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// healthyRate is the healthy community's.
const healthyRate = 200

// neighbours measures a healthy community alone and next to each kind of noise.
func (b *bench) neighbours(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("Neighbours: a healthy community at %d/s, alone and next to a noisy one, %s a turn", healthyRate, b.size.measure),
		Notes: []string{
			"outcome p99 in ms, of the healthy community alone and next to the noise. gap: the longest time without a healthy outcome, in ms.",
			"noise/s: requests of the noisy community that were answered with 202.",
			"Each round has a new noisy community. In every other round the noise comes first.",
		},
		header: []string{"noise", "noise/s", "alone p99", "next to it", "ratio", "gap alone", "next to it", "most"},
	}
	healthy, err := b.newSide(ctx, "healthy", 1)
	if err != nil {
		return s, err
	}
	for _, n := range noises {
		if err := b.nextTo(ctx, &s, healthy, n); errors.Is(err, errNoSuchNoise) {
			s.Notes = append(s.Notes, fmt.Sprintf("%s: %v", n.name, err))
		} else if err != nil {
			return s, fmt.Errorf("next to %s: %w", n.name, err)
		}
	}
	return s, healthy.check(ctx)
}

// nextTo adds the row of one kind of noise.
func (b *bench) nextTo(ctx context.Context, s *section, healthy *side, n noise) error {
	var alone, next []turn
	var noisy series
	err := takeTurns(ctx, b.size.rounds, keep(&alone, func(ctx context.Context, _ int) (turn, error) {
		return b.quietTurn(ctx, healthy)
	}), keep(&next, func(ctx context.Context, round int) (turn, error) {
		t, rate, err := b.noisyTurn(ctx, healthy, n, round)
		noisy = append(noisy, rate)
		return t, err
	}))
	if err != nil {
		return err
	}
	gapOf := func(t turn) float64 { return float64(t.gap.Microseconds()) / 1000 }
	p99, p99Next := figures(alone, outcomeP99), figures(next, outcomeP99)
	gapNext := figures(next, gapOf)
	r := s.row("neighbours_"+n.slug()+"_", n.name, whole(noisy.median()))
	r.figure("p99_alone", p99.median(), milliseconds)
	r.figure("p99", p99Next.median(), milliseconds)
	r.figure("p99_to_alone", p99Next.to(p99), ratio)
	r.cell(ms(figures(alone, gapOf).median()))
	r.figure("gap", gapNext.median(), milliseconds)
	r.figure("gap_most", slices.Max(gapNext), milliseconds)
	return nil
}

// quietTurn sends the healthy community's load.
func (b *bench) quietTurn(ctx context.Context, healthy *side) (t turn, err error) {
	sent, err := healthy.flow(ctx, load{connections: 32, rate: healthyRate, lasts: b.size.measure})
	if err != nil {
		return t, err
	}
	effects, err := healthy.settled(ctx, sent)
	if err == nil {
		t.add(sent, effects)
	}
	return t, err
}

// noisyTurn is a quietTurn while a neighbour makes its noise, which begins a little
// before. It also returns the noise's rate.
func (b *bench) noisyTurn(ctx context.Context, healthy *side, n noise, round int) (t turn, rate float64, err error) {
	source, err := b.neighbour(ctx, fmt.Sprintf("noise-%s-%d", n.slug(), round), n)
	if err != nil {
		return t, 0, err
	}
	do, end, err := n.prepare(ctx, source)
	if err != nil {
		return t, 0, err
	}
	noisy, cancel := context.WithCancel(ctx)
	var made int64
	var noises errgroup.Group
	start := time.Now()
	noises.Go(func() (err error) {
		made, err = do(noisy)
		if noisy.Err() != nil {
			return nil // it was asked to end
		}
		return err
	})
	select {
	case <-time.After(noiseFirst):
	case <-ctx.Done():
	}
	t, err = b.quietTurn(ctx, healthy)
	cancel()
	err = errors.Join(err, noises.Wait())
	rate = float64(made) / time.Since(start).Seconds()
	if end != nil {
		err = errors.Join(err, end(ctx))
	}
	if err != nil {
		return t, 0, err
	}
	// The noise is gone once the healthy community's deliveries pass at once.
	return t, rate, b.quiet(ctx, healthy)
}

// noiseFirst is how long before the healthy load the noise begins.
const noiseFirst = 500 * time.Millisecond

// quiet waits until nothing of the noise waits any more.
func (b *bench) quiet(ctx context.Context, healthy *side) error {
	ctx, cancel := context.WithTimeoutCause(ctx, effectsWithin, errors.New("what is left of the noise holds the healthy community up"))
	defer cancel()
	for ctx.Err() == nil {
		sent, err := healthy.send(ctx, load{connections: 1, total: 20})
		if err != nil {
			return err
		}
		if sent.end.Sub(sent.start) < time.Second {
			return nil
		}
	}
	return context.Cause(ctx)
}

// spew sends requests at a rate until ctx ends, or so many flat out where the rate
// is 0. It returns how many were accepted.
func spew(ctx context.Context, host string, rate, connections, total int, next func() []byte) (accepted int64, err error) {
	senders, err := dial(ctx, host, connections)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, hangUp(senders)) }()
	var taken, ok atomic.Int64
	start := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range senders {
		g.Go(func() error {
			for ctx.Err() == nil {
				k := int(taken.Add(1)) - 1
				if total > 0 && k >= total {
					return nil
				}
				if rate > 0 {
					select {
					case <-time.After(time.Until(due(start, rate, k))):
					case <-ctx.Done():
						return nil
					}
				}
				status, err := s.post(next())
				if err != nil {
					return err
				}
				if status == "202" {
					ok.Add(1)
				}
			}
			return nil
		})
	}
	err = g.Wait()
	return ok.Load(), err
}
