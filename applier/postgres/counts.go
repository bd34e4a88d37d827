package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Outcomes are counted by the minute that their delivery was received in, as its id says.
// A job counts each minute once it has ended, and again whenever a row of it changes: a
// trigger marks it. Rows of coarser steps are sums of finer ones. Readers add the newest
// outcomes, which nobody has counted yet, from their rows.

// countSteps are the steps of delivery_counts, the finest first. Each divides the next.
var countSteps = []time.Duration{time.Minute, 15 * time.Minute, 3 * time.Hour}

// Count is the number of deliveries by their outcome.
type Count struct{ Applied, Duplicate, Skipped, Failed int64 }

// TimeBucket is how many first executions took between the times of a bucket.
type TimeBucket struct {
	Bucket int
	Count  int64
}

// TimeBuckets is the number of the bucket that has no end. Bucket 1 begins at 0 and
// ends at 10^(1/6) ms. Each other one begins where the one before ends, and ends at
// 10^(1/6) times that.
const TimeBuckets = 49

// StepCount is one step of a span.
type StepCount struct {
	At time.Time
	Count
	Times []TimeBucket // in no order
}

// WebhookCount is what became of a webhook's deliveries.
type WebhookCount struct {
	WebhookID, Community string
	Count
}

// CountFilter narrows a count; zero values do not.
type CountFilter struct {
	Communities []string // nil: all
	WebhookID   string
}

// Counted is what was counted of a span.
type Counted struct {
	// Steps are those with deliveries, in no order. Webhooks are in no order either.
	Steps    []StepCount
	Webhooks []WebhookCount
	// Since is the minute from which on all is counted; it is zero if all is.
	Since time.Time
}

// countRowsQuery counts the outcomes of spans of ids. $1 to $3 are the spans: when each
// begins, its first id, and the first id after it. A row is a span, webhook and
// community.
var countRowsQuery = `
SELECT at, webhook_id, community, coalesce(sum(n) FILTER (WHERE kind = 'applied'), 0)::bigint AS applied,
    coalesce(sum(n) FILTER (WHERE kind = 'duplicate'), 0)::bigint AS duplicate, coalesce(sum(n) FILTER (WHERE kind = 'skipped'), 0)::bigint AS skipped,
    coalesce(sum(n) FILTER (WHERE kind = 'failed'), 0)::bigint AS failed, coalesce(array_agg(n * 64 + bucket) FILTER (WHERE bucket IS NOT NULL), '{}') AS times
FROM (
    SELECT m.at, o.* FROM ` + pg.Unnest[spans]("m", 0) + `
    CROSS JOIN LATERAL (
        SELECT webhook_id, community, coalesce(outcome, status) AS kind,
            CASE WHEN replays = 0 THEN width_bucket(log(greatest(date_part('epoch', finished_at - received_at) * 1000, 1)), 0, 8, 48)::bigint END AS bucket,
            count(*) AS n
        FROM outcomes WHERE delivery_id >= m.low AND delivery_id < m.high GROUP BY 1, 2, 3, 4
    ) o
) r GROUP BY at, webhook_id, community`

// spans are the parameters of countRowsQuery.
type spans struct {
	At   pg.Array `column:"at timestamptz"`
	Low  pg.Array `column:"low uuid"`
	High pg.Array `column:"high uuid"`
}

// addSpan adds a span, which begins and ends at a millisecond.
func (s *spans) addSpan(from, to time.Time) {
	s.At.Time(from)
	s.Low.ID(pg.FirstIDAt(from))
	s.High.ID(pg.FirstIDAt(to))
}

const (
	countsProgressQuery = `SELECT counted_from, counted_to FROM delivery_counts_progress`
	uncountedQuery      = `SELECT EXISTS (SELECT FROM outcomes WHERE delivery_id >= $1 AND delivery_id < $2 ORDER BY delivery_id LIMIT 1)`
)

// Counts returns what became of the deliveries that were received from a time until
// before another, by steps. The times and the step are multiples of a minute, and from
// is a multiple of the step.
func (s *Store) Counts(ctx context.Context, f CountFilter, from, to time.Time, step time.Duration) (c Counted, err error) {
	f.Communities = seenOf(ctx, f.Communities)
	err = pg.Snapshot(ctx, s.db, func(tx *sqlx.Tx) error {
		since, countedTo, err := countedSpan(ctx, tx, from)
		if err != nil {
			return err
		}
		c.Since = since
		query, args := f.countsQuery(from, to, countedTo, step)
		return c.read(ctx, tx, query, args)
	})
	return c, pg.Wrap(err, "count deliveries")
}

// Total returns what became of all deliveries that were received from a time until
// before another, both multiples of a minute. It reads far less than Counts: no
// durations, and the coarsest counts there are. since is as in Counted.
func (s *Store) Total(ctx context.Context, f CountFilter, from, to time.Time) (total Count, since time.Time, err error) {
	f.Communities = seenOf(ctx, f.Communities)
	err = pg.Snapshot(ctx, s.db, func(tx *sqlx.Tx) error {
		var countedTo time.Time
		if since, countedTo, err = countedSpan(ctx, tx, from); err != nil {
			return err
		}
		query, args := f.totalQuery(from, to, countedTo)
		return tx.QueryRowContext(ctx, query, args...).Scan(&total.Applied, &total.Duplicate, &total.Skipped, &total.Failed)
	})
	return total, since, pg.Wrap(err, "count deliveries")
}

// countedSpan returns up to when deliveries are counted, and since when if that is after
// the first one from a time on.
func countedSpan(ctx context.Context, tx *sqlx.Tx, from time.Time) (since, to time.Time, err error) {
	var first time.Time
	if err := tx.QueryRowContext(ctx, countsProgressQuery).Scan(&first, &to); err != nil || !from.Before(first) {
		return since, to, err
	}
	var uncounted bool
	err = tx.GetContext(ctx, &uncounted, uncountedQuery, pg.FirstIDAt(from).String(), pg.FirstIDAt(first).String())
	if uncounted {
		since = first.UTC()
	}
	return since, to, err
}

// The kinds of rows of countsQuery.
const (
	ofStep = iota
	ofWebhook
	ofTimes
)

// countsQuery reads whole steps from the coarsest counts, the rest of a span from finer
// counts, and minutes that are not counted yet from the rows.
func (f CountFilter) countsQuery(from, to, countedTo time.Time, step time.Duration) (query string, args []any) {
	var rows spans
	end := within(countedTo, from, to)
	for at := end; at.Before(to); {
		next := at.Truncate(step).Add(step)
		if to.Before(next) {
			next = to
		}
		rows.addSpan(at, next)
		at = next
	}
	w := pg.Where{Args: append(pg.AppendColumns(nil, &rows), fmt.Sprintf("%d minutes", step/time.Minute), from)}
	sizes := slices.DeleteFunc(slices.Clone(countSteps), func(size time.Duration) bool { return step%size != 0 })
	counted := countRowsQuery + countedQueries(&w, "at, webhook_id, community, applied, duplicate, skipped, failed, times", inPieces(from, end, sizes))
	f.narrow(&w)
	return `WITH c AS MATERIALIZED (
    SELECT date_bin($4::interval, at, $5::timestamptz) AS bin, * FROM (` + counted + `) p` + w.String() + `
)
SELECT 0, bin, '', '', 0, sum(applied)::bigint, sum(duplicate)::bigint, sum(skipped)::bigint, sum(failed)::bigint FROM c GROUP BY bin
UNION ALL
SELECT 1, now(), webhook_id, community, 0, sum(applied)::bigint, sum(duplicate)::bigint, sum(skipped)::bigint, sum(failed)::bigint FROM c GROUP BY webhook_id, community
UNION ALL
SELECT 2, bin, '', '', (t % 64)::int, sum(t / 64)::bigint, 0, 0, 0 FROM (SELECT bin, unnest(times) AS t FROM c) u GROUP BY bin, t % 64`, w.Args
}

// countedQueries makes the statements that read pieces of a span from the counts.
func countedQueries(w *pg.Where, columns string, pieces []piece) (queries string) {
	for _, p := range pieces {
		queries += fmt.Sprintf("\nUNION ALL SELECT %s FROM delivery_counts WHERE step = %d AND at >= %s AND at < %s",
			columns, p.size/time.Minute, w.Param(p.from), w.Param(p.to))
	}
	return queries
}

// within is the time of a span that is nearest to t.
func within(t, from, to time.Time) time.Time {
	if t.After(to) {
		t = to
	}
	if t.Before(from) {
		t = from
	}
	return t
}

// totalQuery adds up whole counts, and the rows after the last one that is counted.
func (f CountFilter) totalQuery(from, to, countedTo time.Time) (query string, args []any) {
	var w pg.Where
	end := within(countedTo, from, to)
	rows := fmt.Sprintf(`SELECT webhook_id, community, (outcome IS NOT DISTINCT FROM 'applied')::int AS applied, (outcome IS NOT DISTINCT FROM 'duplicate')::int AS duplicate,
    (outcome IS NOT DISTINCT FROM 'skipped')::int AS skipped, (status = 'failed')::int AS failed FROM outcomes WHERE delivery_id >= %s AND delivery_id < %s`,
		w.Param(pg.FirstIDAt(end).String()), w.Param(pg.FirstIDAt(to).String()))
	counted := countedQueries(&w, "webhook_id, community, applied, duplicate, skipped, failed", inPieces(from, end, countSteps))
	f.narrow(&w)
	return `SELECT coalesce(sum(applied), 0)::bigint, coalesce(sum(duplicate), 0)::bigint, coalesce(sum(skipped), 0)::bigint, coalesce(sum(failed), 0)::bigint
FROM (` + rows + counted + `) p` + w.String(), w.Args
}

func (f CountFilter) narrow(w *pg.Where) {
	w.Narrow("webhook_id = ?", f.WebhookID)
	if f.Communities != nil {
		w.Add("community = ANY (?::text[])", pq.Array(f.Communities))
	}
}

// piece is a part of a span that counts of one size make up.
type piece struct {
	size     time.Duration
	from, to time.Time
}

// inPieces divides a span into the coarsest counts that lie in it, and finer ones at its
// ends. The sizes begin with the finest, which the span begins and ends with.
func inPieces(from, to time.Time, sizes []time.Duration) []piece {
	if !from.Before(to) {
		return nil
	}
	size, finer := sizes[len(sizes)-1], sizes[:len(sizes)-1]
	low, high := from.Truncate(size), to.Truncate(size)
	if low.Before(from) {
		low = low.Add(size)
	}
	if !low.Before(high) {
		return inPieces(from, to, finer)
	}
	return slices.Concat(inPieces(from, low, finer), []piece{{size, low, high}}, inPieces(high, to, finer))
}

func (c *Counted) read(ctx context.Context, tx *sqlx.Tx, query string, args []any) error {
	steps := map[time.Time]*StepCount{}
	times := map[time.Time][]TimeBucket{}
	err := pg.Each(ctx, tx, query, func(scan pg.Scan) error {
		var kind, bucket int
		var at time.Time
		var w WebhookCount
		if err := scan(&kind, (*pg.Time)(&at), &w.WebhookID, &w.Community, &bucket, &w.Applied, &w.Duplicate, &w.Skipped, &w.Failed); err != nil {
			return err
		}
		switch kind {
		case ofStep:
			steps[at] = &StepCount{At: at, Count: w.Count}
		case ofWebhook:
			c.Webhooks = append(c.Webhooks, w)
		case ofTimes:
			times[at] = append(times[at], TimeBucket{Bucket: bucket, Count: w.Applied})
		}
		return nil
	}, args...)
	for at, s := range steps {
		s.Times = times[at]
		c.Steps = append(c.Steps, *s)
	}
	return err
}

// minuteOf is the minute that a delivery was received in.
func minuteOf(id delivery.ID) time.Time { return id.Time().UTC().Truncate(time.Minute) }
