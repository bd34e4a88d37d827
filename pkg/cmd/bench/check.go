package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	pollEvery     = 250 * time.Millisecond
	outcomeWithin = 2 * time.Minute
)

// tally is what was accepted, and has to come out.
type tally struct{ deliveries, points atomic.Int64 }

func (t *tally) add(points int64) {
	t.deliveries.Add(1)
	t.points.Add(points)
}

// emptyTables empties the tables before a measurement and has PostgreSQL write
// everything out, so that each side starts alike.
func emptyTables(ctx context.Context, db *sql.DB) error {
	for _, query := range []string{
		"TRUNCATE outcomes, gamification_logs, balances, dead_letters",
		"CHECKPOINT",
	} {
		if _, err := db.ExecContext(ctx, query); err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
	}
	return nil
}

func countOutcomes(ctx context.Context, db *sql.DB) (n int64, err error) {
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM outcomes").Scan(&n); err != nil {
		return 0, fmt.Errorf("count the outcomes: %w", err)
	}
	return n, nil
}

// settled waits until everything accepted has an outcome, and then checks that
// it had its effect, and had it once.
func (b *bench) settled(ctx context.Context, accepted *tally) error {
	ctx, cancel := context.WithTimeoutCause(ctx, outcomeWithin, fmt.Errorf("not everything had an outcome after %s", outcomeWithin))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		n, err := countOutcomes(ctx, b.db)
		if err == nil && n >= accepted.deliveries.Load() {
			return checkTables(ctx, b.db, accepted)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %d of %d accepted", context.Cause(ctx), n, accepted.deliveries.Load())
		}
	}
}

func checkTables(ctx context.Context, db *sql.DB, accepted *tally) error {
	const query = `
SELECT (SELECT count(*) FROM outcomes),
    (SELECT count(*) FROM outcomes WHERE status = 'success' AND outcome = 'applied'),
    (SELECT count(*) FROM gamification_logs),
    (SELECT coalesce(sum(amount), 0) FROM gamification_logs),
    (SELECT coalesce(sum(amount), 0) FROM balances)`
	var outcomes, applied, logs, logged, held int64
	if err := db.QueryRowContext(ctx, query).Scan(&outcomes, &applied, &logs, &logged, &held); err != nil {
		return fmt.Errorf("add up what came out: %w", err)
	}
	deliveries, points := accepted.deliveries.Load(), accepted.points.Load()
	if outcomes != deliveries || applied != deliveries || logs != deliveries || logged != points || held != points {
		return fmt.Errorf("WRONG RESULT: %d deliveries with %d points were accepted; "+
			"there are %d outcomes, %d of them applied, %d logs with %d points, and balances of %d",
			deliveries, points, outcomes, applied, logs, logged, held)
	}
	return nil
}
