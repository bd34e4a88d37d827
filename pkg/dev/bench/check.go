package main

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

const (
	effectsWithin = 5 * time.Minute
	pollEvery     = 50 * time.Millisecond
	// After each poll it rests this many times as long as the poll took.
	pollRests = 10
)

const (
	// applied gives id and time of the deliveries from $1 to $2 that took effect in
	// the communities $3.
	applied = `SELECT delivery_id::text, finished_at FROM outcomes
WHERE delivery_id BETWEEN $1 AND $2 AND community = ANY ($3) AND status = 'success' AND outcome = 'applied'`

	// totals are of the communities $1 and the webhooks $2.
	totals = `SELECT (SELECT count(*) FROM outcomes WHERE community = ANY ($1)),
    (SELECT count(*) FROM outcomes WHERE community = ANY ($1) AND status = 'success' AND outcome = 'applied'),
    (SELECT count(*) FROM gamification_logs WHERE webhook_id = ANY ($2)),
    (SELECT coalesce(sum(amount), 0) FROM gamification_logs WHERE webhook_id = ANY ($2)),
    (SELECT coalesce(sum(amount), 0) FROM balances b JOIN users u ON u.id = b.user_id WHERE u.community = ANY ($1))`
)

// tally is what was accepted, and has to come out.
type tally struct{ deliveries, points atomic.Int64 }

func (t *tally) add(points int64) {
	t.deliveries.Add(1)
	t.points.Add(points)
}

// poll asks until it is done. It rests long, because a poll is work for what is
// measured.
func poll(ctx context.Context, isDone func() (bool, error)) error {
	for {
		began := time.Now()
		if done, err := isDone(); done || err != nil {
			return err
		}
		select {
		case <-time.After(max(pollEvery, pollRests*time.Since(began))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// settled waits until everything sent has its effect, and says when each had it.
// It counts only after the last one has it: counting is work for PostgreSQL.
func (s *side) settled(ctx context.Context, sent sending) (map[string]time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, effectsWithin, fmt.Errorf("not everything had its effect after %s", effectsWithin))
	defer cancel()
	ids := make([]string, len(sent.requests))
	for i, r := range sent.requests {
		ids[i] = r.id
	}
	first, last := slices.Min(ids), slices.Max(ids)
	n := 0
	have := func(from string, want int) error {
		return poll(ctx, func() (bool, error) {
			err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM ("+applied+") a", from, last, pq.Array(s.communities)).Scan(&n)
			return n >= want, err
		})
	}
	err := have(last, 1)
	if err == nil {
		err = have(first, len(ids))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: only %d of %d accepted by %s have their effect", err, n, len(ids), s.name)
	}
	return s.effects(ctx, first, last, ids)
}

// effects reads when each delivery had its effect: by the same machine's clock.
func (s *side) effects(ctx context.Context, first, last string, ids []string) (map[string]time.Time, error) {
	effects := make(map[string]time.Time, len(ids))
	rows, err := s.db.QueryContext(ctx, applied, first, last, pq.Array(s.communities))
	if err != nil {
		return nil, fmt.Errorf("read the outcomes: %w", err)
	}
	defer rows.Close() // rows.Err tells
	for rows.Next() {
		var id string
		var at time.Time
		if err := rows.Scan(&id, &at); err != nil {
			return nil, fmt.Errorf("read the outcomes: %w", err)
		}
		effects[id] = at
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the outcomes: %w", err)
	}
	for _, id := range ids {
		if _, ok := effects[id]; !ok {
			return nil, fmt.Errorf("WRONG RESULT: delivery %s was accepted by %s and had no effect", id, s.name)
		}
	}
	return effects, nil
}

// check compares the tables with what was accepted since they were empty.
func (s *side) check(ctx context.Context) error {
	var written, effects, logs, logged, held int64
	var webhooks []string
	for _, w := range s.webhooks {
		webhooks = append(webhooks, w.ID)
	}
	if err := s.db.QueryRowContext(ctx, totals, pq.Array(s.communities), pq.Array(webhooks)).Scan(&written, &effects, &logs, &logged, &held); err != nil {
		return fmt.Errorf("sum up the results: %w", err)
	}
	deliveries, points := s.sent.deliveries.Load(), s.sent.points.Load()
	if written != deliveries || effects != deliveries || logs != deliveries*max(s.changes, 1) || logged != points || held != points {
		return fmt.Errorf("WRONG RESULT: %s accepted %d deliveries with %d points; "+
			"there are %d deliveries, %d of them applied, %d logs with %d points, and balances of %d",
			s.name, deliveries, points, written, effects, logs, logged, held)
	}
	return nil
}

// empty empties the tables before a measurement and has
// PostgreSQL write everything out, so that each side starts alike.
func (s *side) empty(ctx context.Context) error {
	for _, query := range []string{
		"TRUNCATE outcomes, gamification_logs, balances, dead_letters",
		"CHECKPOINT",
	} {
		if _, err := s.db.ExecContext(ctx, query); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	s.sent = &tally{}
	return nil
}
