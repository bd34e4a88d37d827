package main

import (
	"context"
	"fmt"
	"strconv"
)

// bodies compares both sides with larger bodies.
func (b *bench) bodies(ctx context.Context) ([]section, error) {
	p, err := b.newPair(ctx)
	if err != nil {
		return nil, err
	}
	var whats []string
	for _, size := range []struct {
		name  string
		bytes int
	}{{"400 B", 400}, {"10 KB", 10_000}, {"100 KB", 100_000}} {
		p.coinhook.resize(size.bytes)
		p.peer.resize(size.bytes)
		if err := p.run(ctx, b.size.rounds, size.name, load{connections: crowds[0], lasts: b.size.measure}); err != nil {
			return nil, err
		}
		whats = append(whats, size.name)
	}
	s := p.flatOut(fmt.Sprintf("Bodies, %d senders", crowds[0]), "bodies_", "body", whats)
	return []section{s, p.costs(whats), p.memory(whats, nil)}, p.check(ctx)
}

// communities compares one community with several: the same users, shared among
// them.
func (b *bench) communities(ctx context.Context) (section, error) {
	s := section{
		Title:  fmt.Sprintf("Communities: %d senders flat out, %d appliers, against one community", crowds[0], len(b.appliers)),
		Notes:  []string{"The communities are spread evenly over the partitions. CPU: microseconds a delivery of all processes."},
		header: []string{"communities", "accepted", "ratio", "applied", "ratio", "outcome p50 ms", "p99", "CPU", "ratio"},
	}
	numbers := []int{1, 8, 64}
	sides := make([]*side, len(numbers))
	for i, n := range numbers {
		var err error
		if sides[i], err = b.newSide(ctx, "bench"+strconv.Itoa(n), n); err != nil {
			return s, err
		}
	}
	turns, err := turnsOf(ctx, b.size.rounds, sides, func(ctx context.Context, x *side, _ int) (turn, error) {
		return x.turn(ctx, load{connections: crowds[0], lasts: b.size.measure})
	})
	if err != nil {
		return s, err
	}
	for i, n := range numbers {
		r := s.row(fmt.Sprintf("communities_%d_", n), strconv.Itoa(n))
		for _, f := range []struct {
			name    string
			pick    func(turn) float64
			text    func(float64) string
			toFirst bool
		}{
			{"accepted", acceptedOf, whole, true},
			{"applied", appliedOf, whole, true},
			{"outcome_p50", outcomeP50, ms, false},
			{"outcome_p99", outcomeP99, ms, false},
			{"cpu", cpuOfAll, ms, true},
		} {
			of, first := figures(turns[i], f.pick), figures(turns[0], f.pick)
			r.figure(f.name, of.median(), unit{text: f.text})
			if f.toFirst {
				r.figure(f.name+"_to_one", of.to(first), ratio)
			}
		}
		if err := sides[i].check(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}
