package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// macRounds is how many turns each side has for one of another comparison's: the
// difference is small.
const macRounds = 2

// macSide is a stack of its own with what it gave.
type macSide struct {
	*bench
	side *side
	sent sending

	rates, cpu series // of the ingress, with the senders of the moment
	drains     []drained
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
	for _, n := range crowds {
		for _, x := range sides {
			x.rates, x.cpu = nil, nil
		}
		if err := takeTurns(ctx, macRounds*b.size.rounds, turnsOf(sides, func(ctx context.Context, x *macSide) error {
			sent, err := x.echoTurn(ctx, x.side, devstack.Ingress, n, &x.rates, &x.cpu)
			x.sent.requests = append(x.sent.requests, sent.requests...)
			return err
		})...); err != nil {
			return s, err
		}
		s.addMAC("ingress_"+strconv.Itoa(n), sides[0].rates, sides[1].rates, sides[0].cpu, sides[1].cpu)
	}
	for _, x := range sides {
		if err := x.finish(ctx); err != nil {
			return s, err
		}
	}
	if err := takeTurns(ctx, macRounds*b.size.rounds, turnsOf(sides, func(ctx context.Context, x *macSide) error { return x.drainTurn(ctx) })...); err != nil {
		return s, err
	}
	with, plain := sides[0].drains, sides[1].drains
	s.addMAC("drain", figures(with, rateOf), figures(plain, rateOf), figures(with, applierCPUOf), figures(plain, applierCPUOf))
	return s, nil
}

// turnsOf are the turns of both sides.
func turnsOf(sides []*macSide, turn func(context.Context, *macSide) error) (turns []func(context.Context, int) error) {
	for _, x := range sides {
		turns = append(turns, func(ctx context.Context, _ int) error { return turn(ctx, x) })
	}
	return turns
}

func (x *macSide) prepare(ctx context.Context) error {
	if err := x.stopAppliers(ctx); err != nil {
		return err
	}
	var err error
	x.side, err = x.newSide(ctx, "mac", 1)
	return err
}

// finish has what was sent settled.
func (x *macSide) finish(ctx context.Context) error {
	if err := x.startAppliers(ctx); err != nil {
		return err
	}
	if _, err := x.side.settled(ctx, x.sent); err != nil {
		return err
	}
	return errors.Join(x.side.check(ctx), x.stopAppliers(ctx))
}

// drainTurn leaves the applier stopped, for the other side's turn.
func (x *macSide) drainTurn(ctx context.Context) error {
	d, err := x.drainOnce(ctx, x.side, load{connections: drainSenders, total: x.size.drained}, x.start())
	x.drains = append(x.drains, d)
	return errors.Join(err, x.stopAppliers(ctx))
}

func (s *section) addMAC(what string, with, without, cpu, cpuWithout series) {
	name := "mac_" + what + "_"
	s.figure(name+"with", with.median(), perSecond)
	s.figure(name+"without", without.median(), perSecond)
	s.figure(name+"ratio", with.to(without), ratio)
	s.figure(name+"cpu_with", cpu.median(), microseconds)
	s.figure(name+"cpu_without", cpuWithout.median(), microseconds)
	s.rows = append(s.rows, []string{
		what, whole(with.median()), whole(without.median()), thousandths(with.to(without)), ms(cpu.median()), ms(cpuWithout.median()), thousandths(cpu.to(cpuWithout)),
	})
}
