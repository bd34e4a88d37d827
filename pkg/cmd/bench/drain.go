package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// prefillBatch is how many deliveries share a message of the backlog: what 64
// senders can have in flight. Four make a full batch of the applier.
const prefillBatch = 64

// drain compares what one applier settles of a backlog with the bare statements.
func (b *bench) drain(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("2. Applier: draining a backlog of %s with one applier against bare statements, in deliveries/s", whole(float64(b.size.drained))),
		Notes: []string{
			fmt.Sprintf("bare: one connection, one transaction for %d deliveries, parameters made before. Locks, outcomes, logs, balances, COMMIT.", bareBatch),
			fmt.Sprintf("drain: from the first batch's finished_at to the last's. %d deliveries a message. Target: 0.50 of bare or more.", prefillBatch),
			fmt.Sprintf("hot users: chosen by Zipf with exponent %.1f.", hot),
		},
		header: []string{"users", "drain", "bare", "ratio"},
	}
	if err := b.stopAppliers(ctx); err != nil {
		return s, err
	}
	for _, variant := range []struct {
		name, figure string
		choose       func(seed uint64) chooser
		rounds       int
	}{
		{"alike", "drain_alike_", uniform, b.size.rounds},
		{"hot", "drain_hot_", skewed, min(b.size.rounds, 2)},
	} {
		var drained, bare, ratios []float64
		for round := range variant.rounds {
			chosen := make([]int, b.size.drained)
			choose := variant.choose(uint64(round))
			for i := range chosen {
				chosen[i] = choose()
			}
			rate, err := b.settleBare(ctx, chosen)
			if err != nil {
				return s, err
			}
			bare = append(bare, rate)
			if rate, err = b.drainOnce(ctx, chosen); err != nil {
				return s, err
			}
			drained = append(drained, rate)
			ratios = append(ratios, rate/bare[round])
		}
		d, p, r := median(drained), median(bare), median(ratios)
		s.figure(variant.figure+"applier", d, perSecond)
		s.figure(variant.figure+"bare", p, perSecond)
		s.figure(variant.figure+"to_bare", r, ratio)
		s.rows = append(s.rows, []string{variant.name, whole(d), whole(p), times(r)})
	}
	return s, b.startAppliers(ctx)
}

// drainOnce fills the stream, starts one applier and measures until everything
// has an outcome. What comes before the first batch's is not counted.
func (b *bench) drainOnce(ctx context.Context, chosen []int) (float64, error) {
	if err := emptyTables(ctx, b.db); err != nil {
		return 0, err
	}
	var sent tally
	if err := b.prefill(ctx, chosen, &sent); err != nil {
		return 0, err
	}
	starting, cancel := context.WithTimeout(ctx, partWithin)
	defer cancel()
	if err := b.stack.StartPart(starting, appliers[0]); err != nil {
		return 0, err
	}
	if err := b.settled(ctx, &sent); err != nil {
		return 0, err
	}
	const query = `
WITH span AS (SELECT min(finished_at) AS first, max(finished_at) AS last FROM outcomes)
SELECT (SELECT count(*) FROM outcomes WHERE finished_at > first) / extract(epoch FROM last - first)::float8 FROM span`
	var rate float64
	if err := b.db.QueryRowContext(ctx, query).Scan(&rate); err != nil {
		return 0, fmt.Errorf("measure the drain: %w", err)
	}
	stopping, cancel := context.WithTimeout(ctx, partWithin)
	defer cancel()
	return rate, b.stack.StopPart(stopping, appliers[0])
}

// prefill publishes as the ingress does.
func (b *bench) prefill(ctx context.Context, chosen []int, sent *tally) error {
	for len(chosen) > 0 {
		n := min(prefillBatch, len(chosen))
		data, err := b.message(chosen[:n])
		if err != nil {
			return err
		}
		if _, err := b.js.Publish(ctx, subject, data, jetstream.WithMsgID(delivery.NewID().String()), jetstream.WithExpectStream(stream)); err != nil {
			return fmt.Errorf("publish to the stream %s: %w", stream, err)
		}
		for _, user := range chosen[:n] {
			sent.add(b.events[user].points)
		}
		chosen = chosen[n:]
	}
	return nil
}

// settleBare runs the statements alone, over a connection of their own.
func (b *bench) settleBare(ctx context.Context, chosen []int) (float64, error) {
	if err := emptyTables(ctx, b.bare); err != nil {
		return 0, err
	}
	var sent tally
	batches, err := b.bareBatches(ctx, chosen, &sent)
	if err != nil {
		return 0, err
	}
	conn, err := b.bare.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	lock, err := conn.PrepareContext(ctx, bareLock)
	if err != nil {
		return 0, fmt.Errorf("prepare the bare statements: %w", err)
	}
	defer lock.Close() //nolint:errcheck // the connection has it
	write, err := conn.PrepareContext(ctx, bareWrite)
	if err != nil {
		return 0, fmt.Errorf("prepare the bare statements: %w", err)
	}
	defer write.Close() //nolint:errcheck // the connection has it

	start := time.Now()
	for _, batch := range batches {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			return 0, fmt.Errorf("settle a bare batch: %w", err)
		}
		if _, err = tx.StmtContext(ctx, lock).ExecContext(ctx, batch.users); err == nil {
			_, err = tx.StmtContext(ctx, write).ExecContext(ctx, batch.columns...)
		}
		if err != nil {
			tx.Rollback() //nolint:errcheck // the first error tells more
			return 0, fmt.Errorf("settle a bare batch: %w", err)
		}
		if err := tx.Commit(); err != nil {
			return 0, fmt.Errorf("settle a bare batch: %w", err)
		}
	}
	rate := float64(len(chosen)) / time.Since(start).Seconds()
	return rate, checkTables(ctx, b.bare, &sent)
}

// column writes PostgreSQL's text form of an array.
type column struct{ b strings.Builder }

func (c *column) add(text string) {
	if c.b.Len() > 0 {
		c.b.WriteByte(',')
	}
	c.b.WriteString(text)
}

func (c *column) String() string { return "{" + c.b.String() + "}" }
