package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// slotsOf are the slots of a partition, as an array.
func slotsOf(p delivery.Partition) any {
	var slots pg.Array
	for slot := 1; slot <= delivery.Slots; slot++ {
		if p.Has(slot) {
			slots.Int(int64(slot))
		}
	}
	return slots.Param()
}

// The scan goes from each webhook's first row to the next webhook's: what it costs
// depends on how many webhooks wait, not on how many deliveries.
const parkedWebhooksQuery = `
WITH RECURSIVE w AS (
    (SELECT slot, webhook_id, reason FROM parked WHERE user_id IS NULL
        ORDER BY slot, webhook_id, stream_epoch, stream_sequence, stream_index LIMIT 1)
    UNION ALL
    SELECT n.* FROM w CROSS JOIN LATERAL (
        SELECT p.slot, p.webhook_id, p.reason FROM parked p WHERE p.user_id IS NULL AND (p.slot, p.webhook_id) > (w.slot, w.webhook_id)
        ORDER BY p.slot, p.webhook_id, p.stream_epoch, p.stream_sequence, p.stream_index LIMIT 1
    ) AS n
)
SELECT webhook_id, reason FROM w WHERE slot = ANY ($1::bigint[]) ORDER BY webhook_id`

// ParkedWebhooks returns the webhooks of a partition with deliveries that wait for
// them.
func (s *Store) ParkedWebhooks(ctx context.Context, p delivery.Partition) (all []applier.ParkedWebhook, err error) {
	all, err = pg.Collect(ctx, s.db, parkedWebhooksQuery, func(scan pg.Scan, w *applier.ParkedWebhook) error {
		return scan(&w.ID, &w.Reason)
	}, slotsOf(p))
	all = slices.CompactFunc(all, func(a, b applier.ParkedWebhook) bool { return a.ID == b.ID }) // in two slots
	return all, pg.Wrap(err, "list webhooks with parked deliveries")
}

const (
	parkedRead = `p.delivery_id, p.replay_id, p.slot, p.webhook_id, coalesce(e.incarnation, ''), p.stream_sequence, p.stream_index,
    p.stored_at, p.received_at, p.attempts, p.revision, p.headers, p.payload, p.replay,
    p.first_incarnation, coalesce(p.first_sequence, 0), coalesce(p.first_index, 0), p.first_stored_at, coalesce(p.malformed, ''), p.newer,
    coalesce(p.method, ''), p.query`

	parkedOfQuery = `
SELECT ` + parkedRead + `
FROM unnest($1::bigint[]) AS s (slot)
CROSS JOIN LATERAL (
    SELECT * FROM parked t
    WHERE t.slot = s.slot AND t.webhook_id = $2 AND t.user_id IS NULL AND (t.stream_epoch, t.stream_sequence, t.stream_index) >
        (CASE WHEN $3 THEN coalesce((SELECT epoch FROM stream_epochs WHERE incarnation = $4), 0) ELSE -1 END, $5, $6)
    ORDER BY t.stream_epoch, t.stream_sequence, t.stream_index
    LIMIT $7
) AS p
LEFT JOIN stream_epochs e ON e.epoch = p.stream_epoch
ORDER BY p.stream_epoch, p.stream_sequence, p.stream_index
LIMIT $7`

	// The query tries the lock of each user with rows, and that of its community. It
	// returns rows of the users that it could lock. If it could lock none, it returns the
	// first row of each: the caller learns that rows are left. A user_id that is no user is
	// that of a replay whose outcome was locked.
	parkedOfUsersQuery = `
WITH RECURSIVE w AS (
    (SELECT user_id FROM parked WHERE user_id IS NOT NULL ORDER BY user_id LIMIT 1)
    UNION ALL
    SELECT n.user_id FROM w CROSS JOIN LATERAL (
        SELECT p.user_id FROM parked p WHERE p.user_id > w.user_id ORDER BY p.user_id LIMIT 1
    ) AS n
),
first AS MATERIALIZED (
    SELECT f.* FROM w CROSS JOIN LATERAL (
        SELECT p.user_id, p.community, p.stream_epoch, p.stream_sequence, p.stream_index FROM parked p
        WHERE p.user_id = w.user_id AND p.slot = ANY ($1::bigint[])
        ORDER BY p.stream_epoch, p.stream_sequence, p.stream_index LIMIT 1
    ) AS f
),
asked AS MATERIALIZED (
    SELECT f.*, pg_try_advisory_xact_lock_shared($3, hashtext(f.community))
        AND (locked.n > 0 OR NOT EXISTS (SELECT FROM users u WHERE u.id = f.user_id)) AS is_free
    FROM first f
    CROSS JOIN LATERAL (
        SELECT count(*) AS n FROM (SELECT 1 FROM users WHERE id = f.user_id FOR NO KEY UPDATE SKIP LOCKED) AS l
    ) AS locked
),
free AS MATERIALIZED (SELECT count(*) FILTER (WHERE is_free) AS n FROM asked)
SELECT ` + parkedRead + `
FROM (
    SELECT a.*, free.n FROM asked a CROSS JOIN free WHERE a.is_free OR free.n = 0
    ORDER BY stream_epoch, stream_sequence, stream_index LIMIT $2
) AS r
CROSS JOIN LATERAL (
    SELECT * FROM parked t WHERE t.user_id = r.user_id AND t.slot = ANY ($1::bigint[])
    ORDER BY t.stream_epoch, t.stream_sequence, t.stream_index
    LIMIT CASE r.n WHEN 0 THEN 1 ELSE greatest(1, $2 / r.n) END
) AS p
LEFT JOIN stream_epochs e ON e.epoch = p.stream_epoch
ORDER BY r.stream_epoch, r.stream_sequence, r.stream_index, r.user_id, p.stream_epoch, p.stream_sequence, p.stream_index
LIMIT $2`
)

// maxParkedBytes bounds what is read at a time, after the first delivery.
const maxParkedBytes = 8 << 20

// ParkedOf returns the deliveries that wait for a webhook, behind a place.
func (s *Store) ParkedOf(ctx context.Context, p delivery.Partition, webhookID string, after *delivery.Place, limit int) ([]delivery.Delivery, error) {
	at := admin.OrEmpty(after)
	all, err := readParkedRows(ctx, s.db, parkedOfQuery, slotsOf(p), pg.NameText(webhookID), after != nil, at.Incarnation,
		int64(at.Sequence), at.Index, limit) // sequences fit
	return all, pg.Wrap(err, "read parked deliveries of a webhook")
}

// ParkedOfUsers returns deliveries that wait for users, of those whom nobody has locked
// now.
func (s *Store) ParkedOfUsers(ctx context.Context, p delivery.Partition, limit int) (all []delivery.Delivery, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error { // it locks users, for a moment
		all, err = readParkedRows(ctx, tx, parkedOfUsersQuery, slotsOf(p), limit, int64(configurationClass))
		return err
	})
	return all, pg.Wrap(err, "read parked deliveries of users")
}

func readParkedRows(ctx context.Context, db pg.Queryer, query string, args ...any) (all []delivery.Delivery, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for size := 0; size < maxParkedBytes && rows.Next(); {
		d, err := scanParkedRow(rows)
		if err != nil {
			return nil, err
		}
		size += len(d.Body)
		all = append(all, d)
	}
	return all, rows.Err()
}

func scanParkedRow(rows *sql.Rows) (d delivery.Delivery, err error) {
	var replayID delivery.ID
	var sequence, revision, firstSequence int64
	var headers, replay, query []byte
	var first delivery.Place
	var firstIncarnation sql.NullString
	if err := rows.Scan((*pg.ID)(&d.ID), (*pg.ID)(&replayID), &d.Slot, &d.WebhookID, &d.Incarnation, &sequence, &d.Position.Index,
		(*pg.Time)(&d.StoredAt), (*pg.Time)(&d.ReceivedAt), &d.Attempt, &revision, &headers, &d.Body, &replay,
		&firstIncarnation, &firstSequence, &first.Index, (*pg.Time)(&first.StoredAt), &d.Malformed, &d.Newer, &d.Method, &query); err != nil {
		return d, err
	}
	d.Position.Sequence, d.Revision = uint64(sequence), uint64(revision) // as they were
	d.Query = string(query)
	if firstIncarnation.Valid {
		first.Incarnation, first.Sequence = firstIncarnation.String, uint64(firstSequence) // as it was
		d.First = &first
	}
	if err := json.Unmarshal(headers, &d.Headers); err != nil {
		return d, err
	}
	if replay != nil {
		var r parkedReplay
		if err := json.Unmarshal(replay, &r); err != nil {
			return d, err
		}
		d.Replay = &delivery.Replay{
			ID: replayID, Cause: r.Cause, RequestedBy: r.RequestedBy, RequestedAt: r.RequestedAt.UTC(),
			Note: r.Note, Revision: r.Revision, Version: r.Version, Edited: r.Edited,
		}
	}
	return d, nil
}

const firstNewerQuery = `
SELECT coalesce(min(p.stream_sequence), 0) FROM parked p
WHERE p.newer AND p.stream_epoch = coalesce((SELECT e.epoch FROM stream_epochs e WHERE e.incarnation = $1), CASE WHEN $1 = '' THEN 0 ELSE -2 END)`

// FirstNewer returns the first message of this stream that a parked delivery still
// needs, because only the stream has its payload; 0 if there is none.
func (s *Store) FirstNewer(ctx context.Context, incarnation string) (sequence uint64, err error) {
	err = s.db.QueryRowContext(ctx, firstNewerQuery, incarnation).Scan(&sequence)
	return sequence, pg.Wrap(err, "look for parked deliveries of a newer format")
}
