package postgres

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Old says which rows may be removed: rows that were finished before a moment, of
// deliveries that have left the stream. While the stream holds a delivery, its outcome
// prevents a second execution.
type Old struct {
	Before time.Time
	// Incarnation is the stream's, and First the first message that it holds.
	Incarnation string
	First       uint64
	// StoredBefore is Before by the broker's clock, and a little later: a
	// message that was stored by then and is no longer in the stream was
	// settled.
	StoredBefore time.Time
}

// goneCondition holds for outcomes "o" that nothing in the stream, and no parked replay,
// is about: $1 is
// the moment, $2 the incarnation, $3 the stream's first message. OFFSET 0 has each
// row looked up by itself, here and below: a page is little of the whole, and the
// planner, which does not know that, would read the whole.
const goneCondition = `
    o.finished_at < $1
    AND (o.status = 'success' OR EXISTS (SELECT FROM discards x WHERE x.delivery_id = o.delivery_id OFFSET 0))
    AND NOT EXISTS (SELECT FROM discards x WHERE x.delivery_id = o.delivery_id AND x.at >= $1 OFFSET 0)
    AND NOT EXISTS (SELECT FROM dead_letters x WHERE x.delivery_id = o.delivery_id OFFSET 0)
    AND NOT EXISTS (SELECT FROM parked x WHERE x.delivery_id = o.delivery_id OFFSET 0)
    AND NOT (o.stream_epoch = coalesce((SELECT e.epoch FROM stream_epochs e WHERE e.incarnation = $2), CASE WHEN $2 = '' THEN 0 ELSE -2 END) AND o.stream_sequence >= $3)
    AND NOT EXISTS (
        SELECT FROM executions x WHERE x.delivery_id = o.delivery_id AND (x.at >= $1
            OR x.stream_epoch = coalesce((SELECT e.epoch FROM stream_epochs e WHERE e.incarnation = $2), CASE WHEN $2 = '' THEN 0 ELSE -2 END) AND x.stream_sequence >= $3)
        OFFSET 0
    )`

// oldLogsQuery reads logs in the order in which they were written. Those of a
// revert have no claim on an outcome: it goes with what they undo. "+ 0" keeps the
// planner from looking for the newest log of a delivery from the newest of all on.
const oldLogsQuery = `
WITH page AS MATERIALIZED (SELECT id, delivery_id, ordinal, at FROM gamification_logs WHERE id > $4 ORDER BY id LIMIT $5)
SELECT l.id, l.at < $1 AND (l.ordinal < 0 OR coalesce(o.gone, false)),
    CASE WHEN l.ordinal < 0 THEN l.id ELSE (SELECT max(x.id + 0) FROM gamification_logs x WHERE x.delivery_id = l.delivery_id AND x.ordinal > 0) END
FROM page l LEFT JOIN LATERAL (
    SELECT (` + goneCondition + `) AS gone FROM outcomes o WHERE o.delivery_id = l.delivery_id OFFSET 0
) o ON true
ORDER BY l.id`

// oldLog is a gamification log that may be removed if all before it are.
type oldLog struct {
	id   int64
	gone bool
	last int64 // the newest log of the same delivery
}

// cutLogs returns the log up to which all can be removed: none of them is needed,
// and no delivery loses a part of its logs. 0 is none.
func cutLogs(logs []oldLog) (cut int64) {
	var needed int64
	for _, l := range logs {
		if !l.gone {
			break
		}
		needed = max(needed, l.last)
		if needed <= l.id {
			cut = l.id
		}
	}
	return cut
}

const (
	lockRetentionQuery = `SELECT log_id, outcomes_to, field_history_to FROM retention FOR UPDATE`

	// Replays and reverts lock outcomes in this order. A row that is locked here is one
	// that they have finished with, or no longer find.
	lockRemovedQuery = `
SELECT FROM outcomes
WHERE delivery_id IN (SELECT delivery_id FROM gamification_logs WHERE id > $1 AND id <= $2 AND ordinal > 0)
ORDER BY delivery_id FOR UPDATE`

	// The newest removed log of each account is the base of its remaining ones.
	removeLogsQuery = `
WITH removed AS (
    DELETE FROM gamification_logs WHERE id > $1 AND id <= $2 RETURNING delivery_id, ordinal, user_id, currency, number, balance
), based AS (
    INSERT INTO log_bases (user_id, currency, number, balance)
    SELECT DISTINCT ON (user_id, currency) user_id, currency, number, balance FROM removed ORDER BY user_id, currency, number DESC
    ON CONFLICT (user_id, currency) DO UPDATE SET number = excluded.number, balance = excluded.balance
    WHERE log_bases.number < excluded.number
), old AS (
    DELETE FROM outcomes WHERE delivery_id IN (SELECT delivery_id FROM removed WHERE ordinal > 0) RETURNING delivery_id
), run AS (
    DELETE FROM executions WHERE delivery_id IN (SELECT delivery_id FROM old)
), progress AS (
    UPDATE retention SET log_id = $2, removed_before = greatest(removed_before, $3)
)
SELECT (SELECT count(*) FROM removed), (SELECT count(*) FROM old)`
)

// Removed counts what was removed. More says that there may be more of it.
type Removed struct {
	Logs, Outcomes, FieldHistory int
	More                         bool
}

// maxLogsChunk is how far logs are read to find the end of a delivery's.
const maxLogsChunk = 1 << 17

// RemoveLogs removes the oldest gamification logs, with the outcomes of their
// deliveries, about as many as "chunk". Each account keeps the number and balance
// that it had.
func (s *Store) RemoveLogs(ctx context.Context, old Old, chunk int) (r Removed, err error) {
	err = s.removing(ctx, func(tx *sqlx.Tx, at removedTo) error {
		var cut int64
		full := true
		for ; cut == 0 && full && chunk <= maxLogsChunk; chunk *= 2 {
			logs, err := oldLogs(ctx, tx, old, at.log, chunk)
			if err != nil {
				return err
			}
			cut, full = cutLogs(logs), len(logs) == chunk && logs[len(logs)-1].gone
		}
		if cut == 0 {
			return nil
		}
		r.More = full
		if _, err := tx.ExecContext(ctx, lockRemovedQuery, at.log, cut); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, removeLogsQuery, at.log, cut, old.Before).Scan(&r.Logs, &r.Outcomes); err != nil {
			return err
		}
		return addRemoval(ctx, tx, old)
	})
	return r, pg.Wrap(err, "remove old gamification logs")
}

// removedTo is how far the removal has come in each table.
type removedTo struct {
	log               int64
	outcomes, history delivery.ID
}

// removing runs f alone among those who remove.
func (s *Store) removing(ctx context.Context, f func(tx *sqlx.Tx, at removedTo) error) error {
	return s.inTx(ctx, func(tx *sqlx.Tx) error {
		var at removedTo
		err := tx.QueryRowContext(ctx, lockRetentionQuery).Scan(&at.log, (*pg.ID)(&at.outcomes), (*pg.ID)(&at.history))
		if err != nil {
			return err
		}
		return f(tx, at)
	})
}

func oldLogs(ctx context.Context, tx *sqlx.Tx, old Old, from int64, limit int) ([]oldLog, error) {
	return pg.Collect(ctx, tx, oldLogsQuery, func(scan pg.Scan, l *oldLog) error {
		return scan(&l.id, &l.gone, &l.last)
	}, old.Before, old.Incarnation, int64(old.First), from, limit)
}

// Outcomes without logs are removed in the order of their ids, in which everybody locks
// them. Dead letters stay for good, so each round reads what is left again.
const removeOutcomesQuery = `
WITH page AS (
    SELECT delivery_id FROM outcomes WHERE delivery_id > $4 AND delivery_id < $5 ORDER BY delivery_id LIMIT $6
), gone AS MATERIALIZED (
    SELECT o.delivery_id FROM outcomes o JOIN page p ON p.delivery_id = o.delivery_id
    WHERE` + goneCondition + `
    AND NOT EXISTS (SELECT FROM gamification_logs l WHERE l.delivery_id = o.delivery_id AND l.ordinal > 0 OFFSET 0)
    ORDER BY o.delivery_id
    FOR UPDATE OF o
), old AS (
    DELETE FROM outcomes o USING gone g WHERE o.delivery_id = g.delivery_id RETURNING o.delivery_id
), run AS (
    DELETE FROM executions WHERE delivery_id IN (SELECT delivery_id FROM old)
), discarded AS (
    DELETE FROM discards WHERE delivery_id IN (SELECT delivery_id FROM old)
), progress AS (
    UPDATE retention SET outcomes_to = CASE WHEN (SELECT count(*) FROM page) = $6
        THEN (SELECT delivery_id FROM page ORDER BY delivery_id DESC LIMIT 1) ELSE '00000000-0000-0000-0000-000000000000' END,
        removed_before = CASE WHEN EXISTS (SELECT FROM old) THEN greatest(removed_before, $1) ELSE removed_before END
)
SELECT (SELECT count(*) FROM old), (SELECT count(*) FROM page) = $6`

// RemoveOutcomes reads a page of outcomes and removes old ones without gamification
// logs. More is false at the end of a round.
func (s *Store) RemoveOutcomes(ctx context.Context, old Old, page int) (r Removed, err error) {
	err = s.removing(ctx, func(tx *sqlx.Tx, at removedTo) error {
		err := tx.QueryRowContext(ctx, removeOutcomesQuery, old.Before, old.Incarnation, int64(old.First),
			at.outcomes.String(), pg.FirstIDAt(old.Before).String(), page).Scan(&r.Outcomes, &r.More)
		if err != nil || r.Outcomes == 0 {
			return err
		}
		return addRemoval(ctx, tx, old)
	})
	return r, pg.Wrap(err, "remove old outcomes")
}

// Two values of a field stay: its current value, and the one that a revert brings back,
// which is the newest old value that is not reverted. A value whose delivery has an
// outcome can still be reverted, so the value before it stays, too.
const removeFieldHistoryQuery = `
WITH page AS (
    SELECT DISTINCT delivery_id FROM field_history WHERE delivery_id > $2 AND delivery_id < $3 ORDER BY delivery_id LIMIT $4
), old AS (
    DELETE FROM field_history h USING page p
    WHERE h.delivery_id = p.delivery_id AND h.at < $1
    AND NOT EXISTS (SELECT FROM outcomes o WHERE o.delivery_id = h.delivery_id OFFSET 0)
    AND NOT EXISTS (SELECT FROM user_fields f WHERE f.user_id = h.user_id AND f.field = h.field AND f.delivery_id = h.delivery_id OFFSET 0)
    AND (h.ordinal < 0 OR EXISTS (SELECT FROM reverts r WHERE r.delivery_id = h.delivery_id OFFSET 0) OR EXISTS (
        SELECT FROM field_history n
        WHERE n.user_id = h.user_id AND n.field = h.field AND n.ordinal > 0 AND n.at < $1
        AND (n.stream_epoch, n.stream_sequence, n.stream_index) > (h.stream_epoch, h.stream_sequence, h.stream_index)
        AND NOT EXISTS (SELECT FROM reverts r WHERE r.delivery_id = n.delivery_id OFFSET 0)
        AND NOT EXISTS (SELECT FROM outcomes o WHERE o.delivery_id = n.delivery_id OFFSET 0)
        OFFSET 0
    ))
    RETURNING 1
), progress AS (
    UPDATE retention SET field_history_to = CASE WHEN (SELECT count(*) FROM page) = $4
        THEN (SELECT delivery_id FROM page ORDER BY delivery_id DESC LIMIT 1) ELSE '00000000-0000-0000-0000-000000000000' END
)
SELECT (SELECT count(*) FROM old), (SELECT count(*) FROM page) = $4`

// RemoveFieldHistory checks the custom fields of a page of deliveries. It removes old
// entries whose delivery is removed and that no revert can bring back. More is false at
// the end of a round.
func (s *Store) RemoveFieldHistory(ctx context.Context, old Old, page int) (r Removed, err error) {
	err = s.removing(ctx, func(tx *sqlx.Tx, at removedTo) error {
		return tx.QueryRowContext(ctx, removeFieldHistoryQuery, old.Before, at.history.String(), pg.FirstIDAt(old.Before).String(), page).
			Scan(&r.FieldHistory, &r.More)
	})
	return r, pg.Wrap(err, "remove the old history of custom fields")
}
