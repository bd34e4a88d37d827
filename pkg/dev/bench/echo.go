package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/coinhook/coinhook/pkg/dev/bench/peer"
	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/dev/stack/port"
)

// echoRounds is how many turns each side has for one of another comparison's: they
// are short.
const echoRounds = 2

// echo compares what the ingress accepts and stores with what a bare handler of the
// same framework answers that stores nothing. The appliers are stopped meanwhile.
func (b *bench) echo(ctx context.Context) (section, error) {
	s := section{
		Title: "Ingress: accepted (202) against a bare echo handler with the same key check, which stores nothing",
		Notes: []string{
			"a second: requests answered, with all connections flat out. The ingress shares the cores with NATS, too.",
			"cpu: microseconds of the process a request, user and system.",
		},
		header: []string{"senders", "ingress/s", "echo/s", "ratio", "ingress cpu", "echo cpu", "ratio", "ingress MB"},
	}
	if err := b.stopAppliers(ctx); err != nil {
		return s, err
	}
	ours, err := b.newSide(ctx, "echo", 1)
	if err != nil {
		return s, err
	}
	bare, err := b.echoSide(ctx, ours.world)
	if err != nil {
		return s, err
	}
	var all sending
	for _, n := range crowds {
		var rates, cpu, bareRates, bareCPU series
		if err := takeTurns(ctx, echoRounds*b.size.rounds,
			func(ctx context.Context, _ int) error {
				sent, err := b.echoTurn(ctx, ours, devstack.Ingress, n, &rates, &cpu)
				all.requests = append(all.requests, sent.requests...)
				return err
			},
			func(ctx context.Context, _ int) error {
				_, err := b.echoTurn(ctx, bare, peer.Echo, n, &bareRates, &bareCPU)
				return err
			},
		); err != nil {
			return s, err
		}
		memory, err := ours.peaks()
		if err != nil {
			return s, err
		}
		s.addEcho(n, rates, bareRates, cpu, bareCPU, memory[devstack.Ingress])
	}
	if err := b.startAppliers(ctx); err != nil {
		return s, err
	}
	if _, err := ours.settled(ctx, all); err != nil {
		return s, err
	}
	return s, ours.check(ctx)
}

// echoTurn is one turn of a side whose process has this name.
func (b *bench) echoTurn(ctx context.Context, side *side, process string, n int, rates, cpu *series) (sent sending, err error) {
	before, err := cpuOf(side.own()[process])
	if err != nil {
		return sent, err
	}
	if sent, err = side.flow(ctx, load{connections: n, lasts: b.size.measure / 2}); err != nil {
		return sent, err
	}
	after, err := cpuOf(side.own()[process])
	if err != nil {
		return sent, err
	}
	requests := float64(len(sent.requests))
	*rates = append(*rates, requests/sent.end.Sub(sent.start).Seconds())
	*cpu = append(*cpu, float64((after-before).Microseconds())/requests)
	return sent, nil
}

func (s *section) addEcho(senders int, rates, bareRates, cpu, bareCPU series, memory float64) {
	name := fmt.Sprintf("echo_%d_", senders)
	s.figure(name+"ingress", rates.median(), perSecond)
	s.figure(name+"bare", bareRates.median(), perSecond)
	s.figure(name+"to_bare", rates.to(bareRates), ratio)
	s.figure(name+"ingress_cpu", cpu.median(), microseconds)
	s.figure(name+"bare_cpu", bareCPU.median(), microseconds)
	s.figure(name+"ingress_memory", memory, "MB")
	s.rows = append(s.rows, []string{
		strconv.Itoa(senders), whole(rates.median()), whole(bareRates.median()), times(rates.to(bareRates)),
		ms(cpu.median()), ms(bareCPU.median()), times(cpu.to(bareCPU)), whole(memory),
	})
}

// echoSide starts the bare handler. What it answers has no effect.
func (b *bench) echoSide(ctx context.Context, w *world) (*side, error) {
	const host = "127.0.0.1"
	p, err := port.Free(host)
	if err != nil {
		return nil, err
	}
	hook := w.webhooks[0]
	c := peer.Config{Addr: net.JoinHostPort(host, strconv.Itoa(p)), WebhookID: hook.ID, APIKey: hook.APIKey}
	pids, err := b.startPeer(ctx, c, peer.Echo)
	return &side{
		name: "echo", host: c.Addr, world: w, sent: &tally{},
		own: func() map[string]int { return pids },
	}, err
}
