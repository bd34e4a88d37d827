package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// replayed is the state of a replayed delivery, under its lock.
type replayed struct {
	ledger.Replay
	first ledger.Place
	// body is the hash of the payload that the sender sent, decrypted.
	body [32]byte
}

// The rows stay locked until the end, so that the second replay of a delivery sees the
// effect of the first. Discarding a dead letter locks the same row.
const lockReplayedQuery = `
SELECT delivery_id FROM outcomes WHERE delivery_id = ANY ($1::uuid[]) FOR NO KEY UPDATE SKIP LOCKED`

const replayedQuery = `
SELECT o.delivery_id, o.status, coalesce(o.outcome, ''), coalesce(o.reason, ''), coalesce(o.detail, ''), coalesce(o.path, ''), o.duplicate_of,
    coalesce(d.stream_epoch, o.stream_epoch), coalesce(d.stream_sequence, o.stream_sequence), coalesce(d.stream_index, o.stream_index),
    d.stored_at, d.delivery_id IS NOT NULL, coalesce(d.body_sha256, o.payload_sha256),
    EXISTS (SELECT 1 FROM executions e WHERE e.delivery_id = o.delivery_id AND e.execution_id = r.replay_id)
FROM unnest($1::uuid[], $2::uuid[]) AS r (delivery_id, replay_id)
JOIN outcomes o ON o.delivery_id = r.delivery_id
LEFT JOIN dead_letters d ON d.delivery_id = o.delivery_id`

// lockReplayed locks the outcomes of replayed deliveries. A new statement reads them.
func (w *work) lockReplayed(ctx context.Context, tx *sqlx.Tx) (err error) {
	if len(w.replayed) > 0 {
		ids := slices.Collect(maps.Keys(w.replayed))
		w.lockedOutcomes, err = pg.QueryIDSet(ctx, tx, lockReplayedQuery, pg.IDs(ids))
	}
	return err
}

func (w *work) readReplayed(ctx context.Context, tx *sqlx.Tx) error {
	if len(w.replayed) == 0 {
		return nil
	}
	var ids, replays pg.Array
	for _, item := range w.batch {
		if r := item.Delivery.Replay; r != nil {
			ids.ID(item.Delivery.ID)
			replays.ID(r.ID)
		}
	}
	return pg.Each(ctx, tx, replayedQuery, func(scan pg.Scan) error {
		r := replayed{Replay: ledger.Replay{IsKnown: true}}
		var id delivery.ID
		var f delivery.Failure
		var body []byte
		if err := scan((*pg.ID)(&id), &r.Outcome.Status, &r.Outcome.Outcome, &f.Reason, &f.Detail, &f.Path, (*pg.ID)(&r.Outcome.DuplicateOf),
			&r.first.Epoch, &r.first.Sequence, &r.first.Index, (*pg.Time)(&r.first.StoredAt), &r.IsDead, &body, &r.Executed); err != nil {
			return err
		}
		if r.Outcome.Status == delivery.Failed {
			r.Outcome.Failure = &f
		}
		copy(r.body[:], body)
		r.IsLocked = w.lockedOutcomes != nil && !w.lockedOutcomes[id]
		w.replayed[id] = &r
		return nil
	}, ids.Param(), replays.Param())
}

// decideReplay decides a dead letter again.
func (w *work) decideReplay(item applier.Item) (applier.Settlement, error) {
	r := w.replayed[item.Delivery.ID]
	r.Forgotten = w.isGone(item) || !r.IsKnown && w.isForgotten(item)
	step, s := r.Decide(item.NoOp)
	switch step {
	case ledger.Stop:
		return s, nil
	case ledger.Wait:
		return w.park(item, w.userOrOwn(item), waitsForOutcome), nil
	case ledger.Note:
		noted := decision{Decision: ledger.Decision{Settlement: s}, place: w.placeOf(item.Delivery)}
		w.rows.replays.add(item, noted, r.IsKnown)
		return s, nil
	}
	d, err := w.decideOne(item)
	if err != nil {
		return applier.Settlement{}, err
	}
	if d.Parked {
		return w.park(item, d.User, d.Why), nil
	}
	w.rows.replays.add(item, d, r.IsKnown)
	if !r.IsKnown {
		w.rows.add(item, d)
		return d.Settlement, nil
	}
	// Its fields count from when it was first sent: a replay does not overwrite a value
	// that a later delivery has set.
	d.first = r.first
	if key, ok := keyOf(item); ok && d.Key != nil && item.Delivery.Replay.Edited {
		d.original = r.body
		w.keys[key] = ledger.Taken{By: item.Delivery.ID, Body: d.Key.Body, Original: r.body}
	}
	w.rows.addEffect(item, d)
	return d.Settlement, nil
}

// replayRows are what the replays of a batch write, column by column.
type replayRows struct {
	count, ran, done, failed int
	columns                  replayColumns
}

// add has the row of a replay. known says that the delivery has an outcome, which
// is then changed unless the replay is a no-op.
func (r *replayRows) add(item applier.Item, d decision, known bool) {
	replay, f := item.Delivery.Replay, d.words()
	version, name := 0, ""
	if item.Webhook != nil {
		version, name = item.Webhook.Version, item.Webhook.Name
	}
	runs := known && !d.NoOp
	r.count++
	if runs {
		r.ran++
		if d.Status == delivery.Success {
			r.done++
		} else {
			r.failed++
		}
	}
	c := &r.columns
	c.ID.ID(item.Delivery.ID)
	c.Execution.ID(replay.ID)
	c.Cause.Text(string(knownCause(replay.Cause)))
	c.RequestedBy.Text(replay.RequestedBy)
	c.RequestedAt.Time(replay.RequestedAt)
	c.Note.TextOrNull(replay.Note)
	c.Effect.Bool(!d.NoOp)
	c.Runs.Bool(runs)
	c.Version.Int(int64(version))
	c.Status.Text(string(d.Status))
	c.Outcome.TextOrNull(string(d.Outcome))
	c.Reason.TextOrNull(string(f.Reason))
	c.Detail.TextOrNull(f.Detail)
	c.Path.TextOrNull(f.Path)
	if replay.Edited {
		c.Edited.Bytes(item.Delivery.Body)
	} else {
		c.Edited.Null()
	}
	at := item.Delivery.Position
	c.Epoch.Int(d.place.Epoch)
	c.Sequence.Int(int64(at.Sequence))
	c.Index.Int(int64(at.Index))
	c.Attempts.Int(int64(item.Delivery.Attempt))
	c.Webhook.Text(name)
	c.User.IDOrNull(d.User)
	c.DuplicateOf.IDOrNull(d.DuplicateOf)
	by, key := missingUser(item, f)
	c.UserBy.TextOrNull(by)
	c.UserKey.TextOrNull(key)
	c.Changes.Int(int64(len(d.Entries)))
	// The key of what the sender sent is looked up by its retries. That of an edited
	// payload may be another one.
	if key := item.Plan.Key; key != nil && !replay.Edited {
		c.Key.Bytes(key.Hash[:])
		c.Body.Bytes(key.Body[:])
	} else {
		c.Key.Null()
		c.Body.Null()
	}
	if replay.Edited {
		c.WebhookID.Null()
	} else {
		c.WebhookID.Text(pg.NameText(item.Delivery.WebhookID))
	}
}

// knownCause returns a cause that the table can hold. A message may have any other.
func knownCause(c delivery.Cause) delivery.Cause {
	switch c {
	case delivery.Bulk, delivery.UserFound:
		return c
	}
	return delivery.Manual
}

// All parts see the tables as they were before the statement: so the first
// execution is written from the outcome that the second one replaces.
const writeReplaysQuery = `
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now),
r AS MATERIALIZED (
    SELECT * FROM unnest(%s) AS r (%s)
),
first AS (
    INSERT INTO executions (delivery_id, execution_id, cause, effect, version, status, outcome, reason, detail, path,
        stream_epoch, stream_sequence, stream_index, attempts, at)
    SELECT o.delivery_id, o.delivery_id, 'delivery', true, o.version, o.status, o.outcome, o.reason, o.detail, o.path,
        o.stream_epoch, o.stream_sequence, o.stream_index, o.attempts, o.finished_at
    FROM r JOIN outcomes o ON o.delivery_id = r.delivery_id
    WHERE r.runs OR NOT r.effect
    ON CONFLICT DO NOTHING
),
again AS (
    UPDATE outcomes o
    SET webhook = coalesce(nullif(r.webhook, ''), o.webhook), version = coalesce(nullif(r.version, 0), o.version), status = r.status,
        outcome = r.outcome, reason = r.reason, detail = r.detail, path = r.path, user_id = r.user_id, duplicate_of = r.duplicate_of, changes = r.changes,
        replays = o.replays + 1, attempts = o.attempts + r.attempts, finished_at = clock.now
    FROM r, clock
    WHERE r.runs AND o.delivery_id = r.delivery_id AND o.status = 'failed'
    RETURNING 1
),
gone AS (
    DELETE FROM dead_letters d USING r
    WHERE r.runs AND r.status = 'success' AND d.delivery_id = r.delivery_id
    RETURNING d.delivery_id, d.payload
),
kept AS (
    UPDATE dead_letters d
    SET failed_at = clock.now, edited = coalesce(r.edited, d.edited), user_by = r.user_by, user_key = r.user_key,
        webhook_id = coalesce(r.webhook_id, d.webhook_id), key = coalesce(r.key, d.key), body_sha256 = coalesce(r.body_sha256, d.body_sha256)
    FROM r, clock
    WHERE r.runs AND r.status = 'failed' AND d.delivery_id = r.delivery_id
    RETURNING 1
),
done AS (
    INSERT INTO executions (delivery_id, execution_id, cause, requested_by, requested_at, note, effect, version, status, outcome,
        reason, detail, path, edited, original, stream_epoch, stream_sequence, stream_index, attempts, at)
    SELECT r.delivery_id, r.execution_id, r.cause, r.requested_by, r.requested_at, r.note, r.effect, r.version, r.status, r.outcome,
        r.reason, r.detail, r.path, r.edited, CASE WHEN r.edited IS NOT NULL THEN g.payload END,
        r.stream_epoch, r.stream_sequence, r.stream_index, r.attempts, clock.now
    FROM clock, r LEFT JOIN gone g ON g.delivery_id = r.delivery_id
    RETURNING 1
)
SELECT (SELECT count(*) FROM done), (SELECT count(*) FROM again), (SELECT count(*) FROM gone), (SELECT count(*) FROM kept)`

var writeReplays = fmt.Sprintf(writeReplaysQuery, pg.ColumnParameters[replayColumns](0), pg.ColumnNames[replayColumns]())

// writeReplays records the replays and moves their outcomes on.
func (w *work) writeReplays(ctx context.Context, tx *sqlx.Tx) error {
	r := &w.rows.replays
	if r.count == 0 {
		return nil
	}
	var done, again, gone, kept int
	if err := tx.QueryRowContext(ctx, writeReplays, pg.AppendColumns(nil, &r.columns)...).Scan(&done, &again, &gone, &kept); err != nil {
		return err
	}
	if done != r.count || again != r.ran || gone != r.done || kept != r.failed {
		return fmt.Errorf("%w: wrote %d of %d replays, %d of %d outcomes, %d and %d of %d and %d dead letters",
			errOvertaken, done, r.count, again, r.ran, gone, kept, r.done, r.failed)
	}
	return nil
}
