package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// quotaShare is the share of a core that each applier gets.
const quotaShare = 0.25

// quota compares one, two and four appliers that each get a share of a core.
func (b *bench) quota(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("Appliers limited to %.2f of a core each, 8 communities: draining a backlog, in deliveries/s", quotaShare),
		Notes: []string{
			"The communities are spread evenly over the partitions. It is measured once all appliers are limited.",
			"Where PostgreSQL has the cores that are left to itself, appliers are the limit; else it is.",
		},
		header: []string{"body", "appliers", "drain", "ratio", "applier CPU", "postgres CPU", "postgres cores"},
	}
	ours, err := b.newSide(ctx, "bench", 8)
	if err != nil {
		return s, err
	}
	how := ""
	for _, body := range []struct{ bytes, drained int }{{usualBody, b.size.drained / 4}, {10_000, b.size.drained / 16}} {
		ours.resize(body.bytes)
		counts := []int{1, 2, 4}
		drains, err := turnsOf(ctx, b.size.rounds, counts, func(ctx context.Context, n, _ int) (drained, error) {
			return b.drainLimited(ctx, ours, load{connections: drainSenders, total: body.drained}, b.appliers[:n], &how)
		})
		if err != nil {
			return s, err
		}
		for i, n := range counts {
			rate, one := figures(drains[i], rateOf), figures(drains[0], rateOf)
			postgres := figures(drains[i], postgresCPUOf).median()
			r := s.row(fmt.Sprintf("quota_%d_%d_", body.bytes, n), whole(float64(body.bytes)), strconv.Itoa(n))
			r.figure("drain", rate.median(), perSecond)
			r.figure("to_one", rate.to(one), ratio)
			r.cell(ms(figures(drains[i], applierCPUOf).median()))
			r.cell(ms(postgres))
			r.cell(times(postgres * rate.median() / 1e6))
		}
	}
	s.Notes = append(s.Notes, "Limited by "+how+".")
	return s, nil
}

// drainLimited drains with appliers that are limited as soon as they are ready.
func (b *bench) drainLimited(ctx context.Context, s *side, l load, appliers []string, how *string) (d drained, err error) {
	var limits []limit
	defer func() {
		for _, l := range limits {
			err = errors.Join(err, l.undo())
		}
	}()
	return b.drainOnce(ctx, s, l, func(ctx context.Context) (time.Time, error) {
		if err := b.startAppliers(ctx, appliers...); err != nil {
			return time.Time{}, err
		}
		for _, name := range appliers {
			l, err := limitCPU(b.stack.PID(name), quotaShare)
			if err != nil {
				return time.Time{}, err
			}
			limits, *how = append(limits, l), l.how
		}
		return time.Now(), nil
	})
}
