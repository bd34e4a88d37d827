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
	events := []struct {
		name, figure string
		goes         func(ctx context.Context, applier string) error
	}{
		{"alone", "alone", func(context.Context, string) error { return nil }},
		{"kill -9", "kill", func(_ context.Context, applier string) error {
			return syscall.Kill(b.stack.PID(applier), syscall.SIGKILL)
		}},
		{"SIGTERM", "stop", func(ctx context.Context, applier string) error { return b.stopAppliers(ctx, applier) }},
	}
	gaps, p99s := make([]series, len(events)), make([]series, len(events))
	var takes []func(context.Context, int) error
	for i, event := range events {
		takes = append(takes, func(ctx context.Context, round int) error {
			applier := b.appliers[round%len(b.appliers)]
			gap, p99, err := b.failOnce(ctx, ours, applier, event.goes)
			gaps[i], p99s[i] = append(gaps[i], gap.Seconds()), append(p99s[i], p99)
			return err
		})
	}
	if err := takeTurns(ctx, b.size.rounds, takes...); err != nil {
		return s, err
	}
	for i, event := range events {
		s.figure("failover_"+event.figure, gaps[i].median(), "s")
		s.figure("failover_"+event.figure+"_most", slices.Max(gaps[i]), "s")
		s.rows = append(s.rows, []string{event.name, times(gaps[i].median()), times(slices.Max(gaps[i])), ms(p99s[i].median())})
	}
	return s, ours.check(ctx)
}

// failOnce has an applier go while deliveries arrive.
func (b *bench) failOnce(ctx context.Context, s *side, applier string, goes func(context.Context, string) error) (gap time.Duration, p99 float64, err error) {
	if err := s.resume(ctx); err != nil {
		return 0, 0, err
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
		return 0, 0, err
	}
	if err := <-ended; err != nil {
		return 0, 0, err
	}
	effects, err := s.settled(ctx, sent)
	if err != nil {
		return 0, 0, err
	}
	var t turn
	t.add(sent, effects)
	byCommunity := make([][]time.Duration, len(s.communities))
	for _, r := range sent.requests {
		if at := effects[r.id].Sub(gone); at > 0 {
			k := r.event % len(s.communities)
			byCommunity[k] = append(byCommunity[k], at)
		}
	}
	for _, times := range byCommunity {
		gap = max(gap, longestGap(times))
	}
	return gap, t.outcome.p99, b.startAppliers(ctx) // one that runs is left alone
}
