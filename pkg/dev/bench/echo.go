package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/coinhook/coinhook/pkg/dev/bench/peer"
	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/dev/stack/port"
)

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
	for _, n := range crowds {
		turns, err := b.answering(ctx, moreRounds, n, ours, bare)
		if err != nil {
			return s, err
		}
		memory, err := ours.peaks()
		if err != nil {
			return s, err
		}
		s.addEcho(n, turns, memory[devstack.Ingress])
	}
	return s, b.finish(ctx, ours)
}

func (s *section) addEcho(senders int, turns [][]answers, memory float64) {
	rates, bareRates := figures(turns[0], answers.rateOf), figures(turns[1], answers.rateOf)
	cpu, bareCPU := figures(turns[0], answers.cpuOf), figures(turns[1], answers.cpuOf)
	r := s.row(fmt.Sprintf("echo_%d_", senders), strconv.Itoa(senders))
	r.figure("ingress", rates.median(), perSecond)
	r.figure("bare", bareRates.median(), perSecond)
	r.figure("to_bare", rates.to(bareRates), ratio)
	r.figure("ingress_cpu", cpu.median(), microseconds)
	r.figure("bare_cpu", bareCPU.median(), microseconds)
	r.cell(times(cpu.to(bareCPU)))
	r.figure("ingress_memory", memory, unit{inMB.name, whole})
}

// echoSide starts the bare handler. Its answers have no effect.
func (b *bench) echoSide(ctx context.Context, w *world) (*side, error) {
	addr, err := port.Resolve("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	hook := w.webhooks[0]
	c := peer.Config{Addr: addr, WebhookID: hook.ID, APIKey: hook.APIKey}
	pids, err := b.startPeer(ctx, c, peer.Echo)
	return &side{
		name: "echo", host: c.Addr, http: peer.Echo, world: w, sent: &tally{},
		own: func() map[string]int { return pids },
	}, err
}
