package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"
)

const (
	failoverRate        = 500
	failoverCommunities = 8
	// An owner goes so long after the first request, and the load lasts so long.
	failoverAfter = 3 * time.Second
	failoverLasts = 12 * time.Second
)

// failover measures how long the partitions of an owner that goes are not settled.
func (b *bench) failover(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("Failover: an applier of %d goes, %d communities at %d/s together, in s", len(b.appliers), failoverCommunities, failoverRate),
		Notes: []string{
			"Longest time without an outcome of the community that waited longest, after an owner has gone.",
			"alone: the same without an event. A killed applier is started again after 0.1 s, a stopped one once it was measured.",
		},
		header: []string{"event", "median", "most", "outcome p99 ms"},
	}
	ours, err := b.newSide(ctx, "bench", failoverCommunities)
	if err != nil {
		return s, err
	}
	type departure struct {
		name, figure string
		goes         func(ctx context.Context, applier string) error
	}
	events := []departure{
		{"alone", "alone", func(context.Context, string) error { return nil }},
		{"kill -9", "kill", func(_ context.Context, applier string) error {
			return syscall.Kill(b.stack.PID(applier), syscall.SIGKILL)
		}},
		{"SIGTERM", "stop", func(ctx context.Context, applier string) error { return b.stopAppliers(ctx, applier) }},
	}
	turns, err := turnsOf(ctx, b.size.rounds, events, func(ctx context.Context, d departure, round int) (turn, error) {
		return b.failOnce(ctx, ours, b.appliers[round%len(b.appliers)], d.goes)
	})
	if err != nil {
		return s, err
	}
	for i, event := range events {
		gaps := figures(turns[i], func(t turn) float64 { return t.gap.Seconds() })
		r := s.row("failover_", event.name)
		r.figure(event.figure, gaps.median(), seconds)
		r.figure(event.figure+"_most", slices.Max(gaps), seconds)
		r.cell(ms(figures(turns[i], outcomeP99).median()))
	}
	return s, ours.check(ctx)
}

// failOnce has an applier go while deliveries arrive. The turn's gap is that of the
// community that waits longest after it.
func (b *bench) failOnce(ctx context.Context, s *side, applier string, goes func(context.Context, string) error) (t turn, err error) {
	if err := s.resume(ctx); err != nil {
		return t, err
	}
	ended := make(chan error, 1)
	var gone time.Time
	event := time.AfterFunc(failoverAfter, func() {
		gone = time.Now()
		ended <- goes(ctx, applier)
	})
	defer event.Stop()
	sent, err := s.flow(ctx, load{connections: 64, rate: failoverRate, lasts: failoverLasts})
	if err != nil {
		return t, err
	}
	if err := <-ended; err != nil {
		return t, err
	}
	effects, err := s.settled(ctx, sent)
	if err != nil {
		return t, err
	}
	t.add(sent, effects)
	t.gap = 0
	byCommunity := make([][]time.Duration, len(s.communities))
	for _, r := range sent.requests {
		if at := effects[r.id].Sub(gone); at > 0 {
			k := r.event % len(s.communities)
			byCommunity[k] = append(byCommunity[k], at)
		}
	}
	for _, times := range byCommunity {
		t.gap = max(t.gap, longestGap(times))
	}
	return t, b.startAppliers(ctx) // one that runs is left alone
}
