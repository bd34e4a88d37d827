package main

import (
	"context"
	"fmt"
	"strconv"
)

// bodies compares both sides with larger bodies.
func (b *bench) bodies(ctx context.Context) ([]section, error) {
	w, err := b.newWorld(ctx, "bench", 1, usualBody)
	if err != nil {
		return nil, err
	}
	p, err := b.newPair(ctx, w, usualBody)
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
	turns := make([][]turn, len(numbers))
	sides := make([]*side, len(numbers))
	var takes []func(context.Context, int) error
	for i, n := range numbers {
		w, err := b.newWorld(ctx, "bench"+strconv.Itoa(n), n, usualBody)
		if err != nil {
			return s, err
		}
		if sides[i], err = b.coinhookSide(w); err != nil {
			return s, err
		}
		takes = append(takes, func(ctx context.Context, _ int) error {
			t, err := sides[i].turn(ctx, load{connections: crowds[0], lasts: b.size.measure})
			turns[i] = append(turns[i], t)
			return err
		})
	}
	if err := takeTurns(ctx, b.size.rounds, takes...); err != nil {
		return s, err
	}
	for i, n := range numbers {
		row := []string{strconv.Itoa(n)}
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
			s.figure(fmt.Sprintf("communities_%d_%s", n, f.name), of.median(), "")
			row = append(row, f.text(of.median()))
			if f.toFirst {
				s.figure(fmt.Sprintf("communities_%d_%s_to_one", n, f.name), of.to(first), ratio)
				row = append(row, times(of.to(first)))
			}
		}
		s.rows = append(s.rows, row)
		if err := sides[i].check(ctx); err != nil {
			return s, err
		}
	}
	return s, nil
}
