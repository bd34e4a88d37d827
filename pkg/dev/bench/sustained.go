package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/coinhook/coinhook/pkg/dev/bench/peer"
	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// crowds are the numbers of concurrent senders, and of publishers.
var crowds = []int{64, 256}

// pair is Coinhook and its peer, with the turns that they had.
type pair struct {
	coinhook, peer *side
	// turns are by side and by what was measured.
	turns map[string]map[string][]turn
}

// newPair starts the peer. Both rest until their turn.
func (b *bench) newPair(ctx context.Context) (*pair, error) {
	p := &pair{turns: map[string]map[string][]turn{"coinhook": {}, "peer": {}}}
	var err error
	if p.coinhook, err = b.newSide(ctx, "bench", 1); err != nil {
		return nil, err
	}
	if p.peer, err = b.peerSide(ctx, p.coinhook.world); err != nil {
		return nil, err
	}
	return p, errors.Join(p.coinhook.rest(), p.peer.rest())
}

// run has both take their turns with a load.
func (p *pair) run(ctx context.Context, rounds int, what string, l load) error {
	turns, err := turnsOf(ctx, rounds, []*side{p.coinhook, p.peer}, func(ctx context.Context, s *side, _ int) (turn, error) {
		return s.turn(ctx, l)
	})
	p.turns["coinhook"][what], p.turns["peer"][what] = turns[0], turns[1]
	return err
}

// check checks what came out on both sides.
func (p *pair) check(ctx context.Context) error {
	return cmp.Or(p.coinhook.check(ctx), p.peer.check(ctx))
}

// of gives a figure of both sides.
func (p *pair) of(what string, pick func(turn) float64) (coinhook, peer series) {
	return figures(p.turns["coinhook"][what], pick), figures(p.turns["peer"][what], pick)
}

// figures picks one of each turn, or of whatever a round gave.
func figures[T any](rounds []T, pick func(T) float64) series {
	s := make(series, len(rounds))
	for i, r := range rounds {
		s[i] = pick(r)
	}
	return s
}

func acceptedOf(t turn) float64  { return t.accepted }
func appliedOf(t turn) float64   { return t.applied }
func outcomeP50(t turn) float64  { return t.outcome.p50 }
func outcomeP99(t turn) float64  { return t.outcome.p99 }
func answeredP50(t turn) float64 { return t.answered.p50 }
func answeredP99(t turn) float64 { return t.answered.p99 }

func cpuOfAll(t turn) (sum float64) {
	for _, used := range t.cpu {
		sum += used
	}
	return sum
}

// sustained compares both when senders never pause. Tables are not emptied.
func (b *bench) sustained(ctx context.Context) ([]section, error) {
	p, err := b.newPair(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range crowds {
		if err := p.run(ctx, b.size.rounds, strconv.Itoa(n), load{connections: n, lasts: b.size.measure}); err != nil {
			return nil, err
		}
	}
	peaks, err := p.coinhook.peaks()
	if err != nil {
		return nil, err
	}
	s := p.flatOut("Sustained", "sustained_", "senders", crowdNames())
	s.Notes = append(s.Notes, fmt.Sprintf("%d users, %d appliers, %s a turn. Tables grow from turn to turn.", users, len(b.appliers), b.size.measure))
	return []section{s, p.costs(crowdNames()), p.memory(crowdNames(), peaks)}, p.check(ctx)
}

func crowdNames() []string {
	var names []string
	for _, n := range crowds {
		names = append(names, strconv.Itoa(n))
	}
	return names
}

// flatOut is the table of loads without a rate.
func (p *pair) flatOut(title, prefix, of string, whats []string) section {
	s := section{
		Title: title + ": Coinhook against the bundling peer, in deliveries/s",
		Notes: []string{
			"accepted: answered with 202. applied: with an effect before sending ended, by the time in the row, just before COMMIT.",
			"drained: from the end of sending until everything had its effect.",
		},
		header: []string{of, "accepted", "peer", "ratio", "applied", "peer", "ratio", "applied/accepted", "drained s", "peer"},
	}
	for _, what := range whats {
		a, peerA := p.of(what, acceptedOf)
		d, peerD := p.of(what, appliedOf)
		end, peerEnd := p.of(what, func(t turn) float64 { return t.drained.Seconds() })
		r := s.row(prefix+what+"_", what)
		r.figure("accepted", a.median(), perSecond)
		r.cell(whole(peerA.median()))
		r.figure("accepted_to_peer", a.to(peerA), ratio)
		r.figure("applied", d.median(), perSecond)
		r.cell(whole(peerD.median()))
		r.figure("applied_to_peer", d.to(peerD), ratio)
		r.figure("applied_to_accepted", d.to(a), ratio)
		r.cell(times(end.median()))
		r.cell(times(peerEnd.median()))
	}
	return s
}

// costs is the table of CPU time.
func (p *pair) costs(whats []string) section {
	s := section{
		Title: "CPU: microseconds a delivery of each process",
		Notes: []string{
			"From /proc, from the first request until everything had its effect. PostgreSQL's are all of its processes.",
			"settle: all appliers, or the peer's consumer. A core gives 1,000,000 a second.",
		},
		header: []string{"side", "load", "http", "settle", "nats", "postgres", "all"},
	}
	for _, name := range []string{"coinhook", "peer"} {
		for _, what := range whats {
			turns := p.turns[name][what]
			http := figures(turns, func(t turn) float64 { return t.cpu[devstack.Ingress] + t.cpu[peer.Server] })
			nats := figures(turns, func(t turn) float64 { return t.cpu[devstack.NATS] })
			postgres := figures(turns, func(t turn) float64 { return t.cpu[devstack.Postgres] })
			all := figures(turns, cpuOfAll)
			settle := make(series, len(all))
			for i := range all {
				settle[i] = all[i] - http[i] - nats[i] - postgres[i]
			}
			r := s.row("cpu_"+name+"_"+what+"_", name, what)
			for column, figures := range []series{http, settle, nats, postgres, all} {
				r.figure(s.header[2+column], figures.median(), microseconds)
			}
		}
	}
	return s
}

// memory is the table of what processes have in memory under full load.
func (p *pair) memory(whats []string, peaks map[string]float64) section {
	s := section{
		Title:  "Memory: MB resident at the end of sending",
		Notes:  []string{"From /proc: RSS; of PostgreSQL the PSS of all of its processes. peak: the most since the process started (VmHWM)."},
		header: append(append([]string{"process"}, whats...), "peak"),
	}
	for _, name := range []string{"coinhook", "peer"} {
		first := p.turns[name][whats[0]]
		for _, process := range slices.Sorted(maps.Keys(first[len(first)-1].memory)) {
			r := s.row("memory_", process)
			if process == devstack.NATS || process == devstack.Postgres {
				r.cells[0] += " (" + name + ")"
			}
			for _, what := range whats {
				m := figures(p.turns[name][what], func(t turn) float64 { return t.memory[process] })
				r.figure(name+"_"+process+"_"+what, m.median(), inMB)
			}
			if most, known := peaks[process]; known {
				r.figure("peak_"+process, most, inMB)
			} else {
				r.cell("")
			}
		}
	}
	return s
}

// rates are kept up for a while; each has its own number of connections.
var rates = []struct{ perSecond, connections int }{{500, 64}, {2000, 128}, {5000, 256}}

// open compares latencies at steady rates.
func (b *bench) open(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("Steady rates: latencies of Coinhook and the bundling peer, in ms, %s a turn", b.size.measure),
		Notes: []string{
			"They start when a request is due, whether or not a connection is free then.",
			"outcome: to the time in the row, which is written just before COMMIT.",
		},
		header: []string{
			"asked/s", "202 p50", "peer", "ratio", "202 p99", "peer", "ratio",
			"outcome p50", "peer", "ratio", "outcome p99", "peer", "ratio",
		},
	}
	p, err := b.newPair(ctx)
	if err != nil {
		return s, err
	}
	for _, rate := range rates {
		what := strconv.Itoa(rate.perSecond)
		if err := p.run(ctx, b.size.rounds, what, load{connections: rate.connections, rate: rate.perSecond, lasts: b.size.measure}); err != nil {
			return s, err
		}
		r := s.row("open_"+what+"_", whole(float64(rate.perSecond)))
		for _, figure := range []struct {
			name string
			pick func(turn) float64
		}{{"accepted_p50", answeredP50}, {"accepted_p99", answeredP99}, {"outcome_p50", outcomeP50}, {"outcome_p99", outcomeP99}} {
			ours, peers := p.of(what, figure.pick)
			r.figure(figure.name, ours.median(), milliseconds)
			r.cell(ms(peers.median()))
			r.figure(figure.name+"_to_peer", ours.to(peers), ratio)
		}
	}
	return s, p.check(ctx)
}
