package main

import (
	"context"
	"fmt"
	"strconv"
)

// partitions compares numbers of partitions with one, for one busy community.
func (b *bench) partitions(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("Partitions, one busy community: drain by one applier, %d senders flat out, outcomes at %d/s", crowds[0], rates[0].perSecond),
		Notes: []string{"Rates in deliveries/s, outcome p50 in ms. The number is changed with `coinhook setup --partitions N` each time."},
		header: []string{
			"partitions", "drain", "to 1", "accepted", "to 1", "applied", "to 1", "outcome p50", "to 1",
		},
	}
	ours, err := b.newSide(ctx, "bench", 1)
	if err != nil {
		return s, err
	}
	counts := []int{1, 2, 4, 8}
	turns, err := turnsOf(ctx, b.size.rounds, counts, func(ctx context.Context, n, _ int) (partitioned, error) {
		return b.withPartitions(ctx, ours, n)
	})
	if err != nil {
		return s, err
	}
	for i, n := range counts {
		r := s.row(fmt.Sprintf("partitions_%d_", n), strconv.Itoa(n))
		for _, f := range []struct {
			name string
			pick func(partitioned) float64
			text func(float64) string
		}{
			{"drain", func(p partitioned) float64 { return p.drain.rate }, whole},
			{"accepted", func(p partitioned) float64 { return p.busy.accepted }, whole},
			{"applied", func(p partitioned) float64 { return p.busy.applied }, whole},
			{"outcome_p50", func(p partitioned) float64 { return p.steady.outcome.p50 }, times},
		} {
			of, one := figures(turns[i], f.pick), figures(turns[0], f.pick)
			r.figure(f.name, of.median(), unit{text: f.text})
			r.figure(f.name+"_to_one", of.to(one), ratio)
		}
	}
	return s, nil
}

// partitioned is what one number of partitions gave in one round.
type partitioned struct {
	drain        drained
	busy, steady turn
}

func (b *bench) withPartitions(ctx context.Context, s *side, n int) (p partitioned, err error) {
	if err := b.do(ctx, "setup", "--partitions", strconv.Itoa(n), "--yes"); err != nil {
		return p, err
	}
	// Once these have their effect, the owners take the new numbering.
	if err := s.resume(ctx); err != nil {
		return p, err
	}
	if p.drain, err = b.drainOnce(ctx, s, load{connections: drainSenders, total: b.size.drained}, b.start(b.appliers[0])); err != nil {
		return p, err
	}
	if err := b.startAppliers(ctx, b.appliers[1:]...); err != nil {
		return p, err
	}
	if p.busy, err = s.turn(ctx, load{connections: crowds[0], lasts: b.size.measure}); err != nil {
		return p, err
	}
	p.steady, err = s.turn(ctx, load{connections: rates[0].connections, rate: rates[0].perSecond, lasts: b.size.measure})
	if err != nil {
		return p, err
	}
	if err := s.resume(ctx); err != nil { // the command's changes need owners that run
		return p, err
	}
	return p, s.check(ctx)
}
