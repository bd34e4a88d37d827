package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// drainSenders make the messages of a backlog as large as a busy ingress does.
const drainSenders = 256

var drainHeader = []string{"users", "drain", "bare", "ratio", "applier CPU", "postgres CPU", "WAL bytes", "table bytes", "stream bytes"}

// variant is a way to choose users.
type variant struct {
	name   string
	choose func(seed uint64) chooser
}

// drain compares what one applier settles of a backlog with the bare statements.
func (b *bench) drain(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("Drain: a backlog of %s settled by one applier, against bare statements, in deliveries/s", whole(float64(b.size.drained))),
		Notes: []string{
			fmt.Sprintf("bare: one connection, one transaction for %d deliveries, parameters made before. Locks, outcomes, logs, balances, COMMIT.", bareBatch),
			fmt.Sprintf("drain: from the first batch's finished_at to the last's. The messages are those of %d senders.", drainSenders),
			"CPU: microseconds a delivery, from the applier's start until everything had its effect.",
			"Bytes a delivery: WAL of PostgreSQL, with full pages after a checkpoint; its history's tables with their indexes; the stream.",
		},
		header: drainHeader,
	}
	w, err := b.newWorld(ctx, "bench", 1)
	if err != nil {
		return s, err
	}
	return s, b.drainAgainstBare(ctx, &s, w, b.size.drained, variant{"alike", uniform}, variant{"one", always})
}

// drainAgainstBare adds a row for each variant, with n deliveries a figure.
func (b *bench) drainAgainstBare(ctx context.Context, s *section, w *world, n int, variants ...variant) error {
	ours := b.coinhookSide(w)
	bare, err := b.newBare(ctx, w)
	if err != nil {
		return err
	}
	for _, variant := range variants {
		var drains []drained
		var bares []float64
		if err := takeTurns(ctx, b.size.rounds, keep(&drains, func(ctx context.Context, _ int) (drained, error) {
			return b.drainOnce(ctx, ours, load{connections: drainSenders, total: n, choose: variant.choose}, b.start())
		}), keep(&bares, func(ctx context.Context, round int) (float64, error) {
			return bare.settle(ctx, n, variant.choose(uint64(round)))
		})); err != nil {
			return err
		}
		s.addDrain(variant.name, drains, bares)
	}
	return nil
}

func (s *section) addDrain(users string, drains []drained, bares series) {
	rate := figures(drains, rateOf)
	r := s.row("drain_"+users+"_", users)
	r.figure("applier", rate.median(), perSecond)
	r.figure("bare", bares.median(), perSecond)
	r.figure("to_bare", rate.to(bares), ratio)
	r.figure("cpu_applier", figures(drains, applierCPUOf).median(), microseconds)
	r.figure("cpu_postgres", figures(drains, postgresCPUOf).median(), microseconds)
	r.figure("wal", figures(drains, func(d drained) float64 { return d.wal }).median(), inBytes)
	r.figure("tables", figures(drains, func(d drained) float64 { return d.tables }).median(), inBytes)
	r.figure("stream", figures(drains, func(d drained) float64 { return d.stream }).median(), inBytes)
}

// drained is what one drain gave: deliveries a second, and a delivery's CPU time in
// microseconds and bytes on disk.
type drained struct{ rate, applier, postgres, wal, tables, stream float64 }

func rateOf(d drained) float64        { return d.rate }
func applierCPUOf(d drained) float64  { return d.applier }
func postgresCPUOf(d drained) float64 { return d.postgres }

// start starts appliers, all unless some are named. It is measured from the first
// effect on.
func (b *bench) start(appliers ...string) func(context.Context) (from time.Time, err error) {
	return func(ctx context.Context) (time.Time, error) { return time.Time{}, b.startAppliers(ctx, appliers...) }
}

// drainOnce fills the stream, starts appliers and measures from the first effect
// after the time that start returns, until everything has its effect.
func (b *bench) drainOnce(ctx context.Context, s *side, l load, start func(context.Context) (from time.Time, err error)) (d drained, err error) {
	if err := b.stopAppliers(ctx); err != nil {
		return d, err
	}
	if err := s.empty(ctx); err != nil {
		return d, err
	}
	published, err := b.published(ctx)
	if err != nil {
		return d, err
	}
	sent, err := s.flow(ctx, l)
	if err != nil {
		return d, err
	}
	before, err := b.written(ctx)
	if err != nil {
		return d, err
	}
	cpuBefore, err := cpuOf(s.servers[devstack.Postgres])
	if err != nil {
		return d, err
	}
	from, err := start(ctx)
	if err != nil {
		return d, err
	}
	effects, err := s.settled(ctx, sent)
	if err != nil {
		return d, err
	}
	used, err := s.cpu()
	if err != nil {
		return d, err
	}
	n := float64(len(effects))
	d.postgres = float64((used[devstack.Postgres] - cpuBefore).Microseconds()) / n
	for _, name := range b.appliers { // they have just started
		d.applier += float64(used[name].Microseconds()) / n
	}
	after, err := b.written(ctx)
	if err != nil {
		return d, err
	}
	stored, err := b.published(ctx)
	if err != nil {
		return d, err
	}
	d.wal, d.tables, d.stream = (after.wal-before.wal)/n, after.tables/n, (stored.bytes-published.bytes)/n
	d.rate = countFrom(effects, from)
	return d, s.check(ctx)
}

// written is what PostgreSQL has written: bytes of WAL, and of the history's tables
// with their indexes.
type written struct{ wal, tables float64 }

func (b *bench) written(ctx context.Context) (w written, err error) {
	const query = `SELECT (pg_current_wal_insert_lsn() - '0/0')::float8,
    (pg_total_relation_size('outcomes') + pg_total_relation_size('gamification_logs'))::float8`
	if err := b.db.QueryRowContext(ctx, query).Scan(&w.wal, &w.tables); err != nil {
		return w, fmt.Errorf("ask PostgreSQL what it has written: %w", err)
	}
	return w, nil
}

// countFrom counts what came after the first effect since then, until the last.
func countFrom(effects map[string]time.Time, from time.Time) float64 {
	var first, last time.Time
	for _, at := range effects {
		if at.After(from) && (first.IsZero() || at.Before(first)) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	after := 0
	for _, at := range effects {
		if at.After(first) {
			after++
		}
	}
	return float64(after) / last.Sub(first).Seconds()
}
