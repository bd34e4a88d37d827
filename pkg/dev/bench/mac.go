package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// macRounds is moreRounds for what the ingress takes: in ten turns, two stacks that both
// have a key differ by up to 3 %. Two processes of one program differ, too, for as long as
// they live, so each side has a new ingress as often.
const macRounds = 6

// macSide is a stack of its own.
type macSide struct {
	*bench
	side *side
}

// mac compares a stack whose deliveries are signed and checked with one that has no
// key.
func (b *bench) mac(ctx context.Context) (s section, err error) {
	s = section{
		Title: "MACs: with a DELIVERY_KEY against without, in turns, in deliveries/s",
		Notes: []string{
			"ingress: accepted (202) with all connections flat out, the appliers stopped. drain: a backlog settled by one applier.",
			"cpu: microseconds a delivery of the ingress, or of the applier.",
		},
		header: []string{"what", "with", "without", "ratio", "cpu with", "cpu without", "ratio"},
	}
	without, err := open(ctx, b.bin, b.size, devstack.Options{Appliers: 1, NoDeliveryKey: true})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, without.close()) }()
	sides := []*macSide{{bench: b}, {bench: without}}
	for _, x := range sides {
		if err := x.prepare(ctx); err != nil {
			return s, err
		}
	}
	names := [2]string{"with", "without"}
	for _, n := range crowds {
		turns, err := withFreshIngresses(ctx, n, sides)
		if err != nil {
			return s, err
		}
		what := "ingress_" + strconv.Itoa(n)
		s.addAnswers("mac_"+what+"_", what, names, turns)
	}
	for _, x := range sides {
		if err := errors.Join(x.finish(ctx, x.side), x.stopAppliers(ctx)); err != nil {
			return s, err
		}
	}
	drains, err := turnsOf(ctx, moreRounds*b.size.rounds, sides,
		func(ctx context.Context, x *macSide, _ int) (drained, error) { return x.drainTurn(ctx) })
	if err != nil {
		return s, err
	}
	with, plain := drains[0], drains[1]
	s.addPair("mac_drain_", "drain", names, figures(with, rateOf), figures(plain, rateOf), figures(with, applierCPUOf), figures(plain, applierCPUOf))
	return s, nil
}

// withFreshIngresses is answering, with ingresses that have just started every now and then.
func withFreshIngresses(ctx context.Context, n int, sides []*macSide) ([][]answers, error) {
	all := make([][]answers, len(sides))
	for range macRounds {
		for _, x := range sides {
			if err := errors.Join(x.stack.StopPart(ctx, devstack.Ingress), x.stack.StartPart(ctx, devstack.Ingress)); err != nil {
				return nil, err
			}
		}
		turns, err := sides[0].answering(ctx, 1, n, sides[0].side, sides[1].side)
		if err != nil {
			return nil, err
		}
		for i := range all {
			all[i] = append(all[i], turns[i]...)
		}
	}
	return all, nil
}

func (x *macSide) prepare(ctx context.Context) error {
	if err := x.stopAppliers(ctx); err != nil {
		return err
	}
	var err error
	x.side, err = x.newSide(ctx, "mac", 1)
	return err
}

// drainTurn leaves the applier stopped, for the other side's turn.
func (x *macSide) drainTurn(ctx context.Context) (drained, error) {
	d, err := x.drainOnce(ctx, x.side, load{connections: drainSenders, total: x.size.drained}, x.start())
	return d, errors.Join(err, x.stopAppliers(ctx))
}
