package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// CountsKept is how long counts are kept.
	CountsKept = 32 * 24 * time.Hour
	// countDelay is how long ago a minute ended that is counted first. Rows of deliveries
	// that are younger mark nothing: see the triggers of migration 26.
	countDelay = 20 * time.Second
	// minutesAtOnce bounds how many minutes one pass counts of each sort.
	minutesAtOnce = 60
)

// DeliveryCounter keeps delivery_counts. One of them at a time does, in one goroutine.
type DeliveryCounter struct {
	store *Store
	// A transaction that wrote a row before "at" has an id below "next". Until all of
	// those have ended, minutes that ended lately are not counted. Zero: nothing is awaited.
	at   time.Time
	next int64
	// sure: all rows that were written before it can be seen.
	sure  time.Time
	ahead time.Duration // of the database's clock, in tests
}

// NewDeliveryCounter returns a counter.
func NewDeliveryCounter(s *Store) *DeliveryCounter { return &DeliveryCounter{store: s} }

const (
	clockQuery    = `SELECT clock_timestamp()`
	nextIDQuery   = `SELECT pg_current_xact_id()::text::bigint`
	oldestIDQuery = `SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint` // of those that have not ended

	lockCountsQuery = `SELECT counted_from, counted_to FROM delivery_counts_progress FOR UPDATE`
	takeMarksQuery  = `
WITH taken AS (
    DELETE FROM delivery_counts_marks WHERE minute IN (SELECT DISTINCT minute FROM delivery_counts_marks WHERE minute < $1 ORDER BY minute LIMIT $2)
    RETURNING minute
)
SELECT DISTINCT minute FROM taken`
	newestBelowQuery = `SELECT delivery_id FROM outcomes WHERE delivery_id < $1 AND delivery_id >= $2 ORDER BY delivery_id DESC LIMIT 1`

	forgetCountsQuery = `DELETE FROM delivery_counts WHERE step = $1 AND at = ANY ($2::timestamptz[])`
	addSumsQuery      = `
WITH finer AS MATERIALIZED (
    SELECT b.at AS bin, c.* FROM unnest($1::timestamptz[]) AS b (at)
    JOIN delivery_counts c ON c.step = $2 AND c.at >= b.at AND c.at < b.at + $3::interval
), sums AS (
    SELECT bin, webhook_id, community, sum(applied) AS applied, sum(duplicate) AS duplicate, sum(skipped) AS skipped, sum(failed) AS failed
    FROM finer GROUP BY 1, 2, 3
), times AS (
    SELECT bin, webhook_id, community, array_agg(n * 64 + bucket) AS times FROM (
        SELECT bin, webhook_id, community, t % 64 AS bucket, sum(t / 64)::bigint AS n FROM (SELECT bin, webhook_id, community, unnest(times) AS t FROM finer) u
        GROUP BY 1, 2, 3, 4
    ) x GROUP BY 1, 2, 3
)
INSERT INTO delivery_counts (step, at, webhook_id, community, applied, duplicate, skipped, failed, times)
SELECT $4, bin, webhook_id, community, applied, duplicate, skipped, failed, coalesce(times, '{}') FROM sums LEFT JOIN times USING (bin, webhook_id, community)`
	removeCountsQuery = `DELETE FROM delivery_counts WHERE step = ANY ($1::smallint[]) AND at < $2`
	moveCountsQuery   = `UPDATE delivery_counts_progress SET counted_from = $1, counted_to = $2`
)

var addCountsQuery = `
INSERT INTO delivery_counts (step, at, webhook_id, community, applied, duplicate, skipped, failed, times)
SELECT 1, c.* FROM (` + countRowsQuery + `) c`

// Count counts minutes that have ended or are marked, and some that are older than all
// that is counted. It returns how many minutes it counted, and whether there are more.
func (c *DeliveryCounter) Count(ctx context.Context) (minutes int, more bool, err error) {
	now, err := c.look(ctx)
	if err == nil {
		err = c.store.inTx(ctx, func(tx *sqlx.Tx) error {
			minutes, more, err = c.count(ctx, tx, now)
			return err
		})
	}
	return minutes, more, pg.Wrap(err, "count deliveries by minute")
}

// look finds out up to when all rows can be seen. A transaction that wrote a row
// before the clock was read has a lower id than the one that is taken after it.
func (c *DeliveryCounter) look(ctx context.Context) (now time.Time, err error) {
	if err := c.store.db.QueryRowContext(ctx, clockQuery).Scan(&now); err != nil {
		return now, err
	}
	now = now.UTC().Add(c.ahead)
	if c.at.IsZero() {
		if err := c.store.db.QueryRowContext(ctx, nextIDQuery).Scan(&c.next); err != nil {
			return now, err
		}
		c.at = now
	}
	var oldest int64
	if err := c.store.db.QueryRowContext(ctx, oldestIDQuery).Scan(&oldest); err != nil {
		return now, err
	}
	if oldest >= c.next {
		c.sure, c.at = c.at, time.Time{}
	}
	return now, nil
}

func (c *DeliveryCounter) count(ctx context.Context, tx *sqlx.Tx, now time.Time) (int, bool, error) {
	var from, to time.Time
	if err := tx.QueryRowContext(ctx, lockCountsQuery).Scan((*pg.Time)(&from), (*pg.Time)(&to)); err != nil {
		return 0, false, err
	}
	minutes := minuteSet{}
	marked, err := takeMarks(ctx, tx, to)
	if err != nil {
		return 0, false, err
	}
	for _, minute := range marked {
		if !minute.Before(from) { // else it was not counted before, and is not counted twice
			minutes[minute] = true
		}
	}
	newTo := within(c.sure.Add(-countDelay).Truncate(time.Minute), to, to.Add(minutesAtOnce*time.Minute))
	minutes.add(to, newTo)
	oldest := now.Add(-CountsKept).Truncate(countSteps[len(countSteps)-1])
	newFrom, err := c.older(ctx, tx, minutes, from, oldest)
	if err != nil {
		return 0, false, err
	}
	if len(minutes) > 0 {
		if err := minutes.write(ctx, tx); err != nil {
			return 0, false, err
		}
	}
	if _, err := tx.ExecContext(ctx, removeCountsQuery, "{1,15,180}", oldest); err != nil {
		return 0, false, err
	}
	_, err = tx.ExecContext(ctx, moveCountsQuery, newFrom, newTo)
	more := len(marked) == minutesAtOnce || newTo.Sub(to) == minutesAtOnce*time.Minute || newFrom.Before(from)
	return len(minutes), more, err
}

// takeMarks returns the oldest minutes that are marked, without their marks.
func takeMarks(ctx context.Context, tx *sqlx.Tx, to time.Time) ([]time.Time, error) {
	return pg.Collect(ctx, tx, takeMarksQuery, func(scan pg.Scan, minute *time.Time) error {
		return scan((*pg.Time)(minute))
	}, to, minutesAtOnce)
}

// older adds minutes before all that is counted, as far back as counts are kept.
// Stretches without deliveries are skipped.
func (c *DeliveryCounter) older(ctx context.Context, tx *sqlx.Tx, minutes minuteSet, from, oldest time.Time) (newFrom time.Time, err error) {
	if !oldest.Before(from) {
		return from, nil
	}
	var newest pg.ID
	err = tx.QueryRowContext(ctx, newestBelowQuery, pg.FirstIDAt(from).String(), pg.FirstIDAt(oldest).String()).Scan(&newest)
	if errors.Is(err, sql.ErrNoRows) {
		return oldest, nil
	}
	if err != nil {
		return from, err
	}
	end := minuteOf(delivery.ID(newest)).Add(time.Minute)
	newFrom = within(end.Add(-minutesAtOnce*time.Minute), oldest, from)
	minutes.add(newFrom, end)
	return newFrom, nil
}

// minuteSet are minutes to count.
type minuteSet map[time.Time]bool

// add adds the minutes of a span.
func (s minuteSet) add(from, to time.Time) {
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		s[at] = true
	}
}

// write counts the minutes, and sums up the coarser steps that they are in.
func (s minuteSet) write(ctx context.Context, tx *sqlx.Tx) error {
	var all spans
	for at := range s {
		all.addSpan(at, at.Add(time.Minute))
	}
	if _, err := tx.ExecContext(ctx, forgetCountsQuery, 1, all.At.Param()); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, addCountsQuery, pg.AppendColumns(nil, &all)...); err != nil {
		return err
	}
	for i, step := range countSteps[1:] {
		steps := map[time.Time]bool{}
		for at := range s {
			steps[at.Truncate(step)] = true
		}
		var bins pg.Array
		for at := range steps {
			bins.Time(at)
		}
		size := int(step / time.Minute)
		if _, err := tx.ExecContext(ctx, forgetCountsQuery, size, bins.Param()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, addSumsQuery, bins.Param(), int(countSteps[i]/time.Minute), fmt.Sprintf("%d minutes", size), size); err != nil {
			return err
		}
	}
	return nil
}
