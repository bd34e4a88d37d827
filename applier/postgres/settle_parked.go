package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// parkedKey names a parked row. replay is zero for a delivery that is no replay.
type parkedKey struct{ id, replay delivery.ID }

func parkedKeyOf(d *delivery.Delivery) parkedKey {
	key := parkedKey{id: d.ID}
	if d.Replay != nil {
		key.replay = d.Replay.ID
	}
	return key
}

// parkedRow is one that waits for a user.
type parkedRow struct {
	parkedKey
	place ledger.Place
}

// Of a user's rows the first are enough: one more than the batch may decide.
const parkedFirstQuery = `
SELECT p.user_id, p.delivery_id, p.replay_id, p.stream_epoch, p.stream_sequence, p.stream_index
FROM unnest($1::uuid[]) AS r (user_id)
CROSS JOIN LATERAL (
    SELECT * FROM parked t WHERE t.user_id = r.user_id ORDER BY t.stream_epoch, t.stream_sequence, t.stream_index LIMIT $2::int
) AS p`

// readParked reads the first rows of the users that are locked. The deliveries of
// others are parked anyway.
func (w *work) readParked(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements) error {
	if !w.usersWait || len(w.locked) == 0 {
		return nil
	}
	var users pg.Array
	for id := range w.locked {
		users.ID(id)
	}
	rows, err := tx.StmtxContext(ctx, stmts.parkedFirst).QueryContext(ctx, users.Param(), len(w.own)+1)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var user, id, replay pg.ID
		var row parkedRow
		if err := rows.Scan(&user, &id, &replay, &row.place.Epoch, &row.place.Sequence, &row.place.Index); err != nil {
			return err
		}
		row.parkedKey = parkedKey{delivery.ID(id), delivery.ID(replay)}
		w.parked[delivery.ID(user)] = append(w.parked[delivery.ID(user)], row)
	}
	return rows.Err()
}

const (
	waitsForUser      = "The user's row is locked: by an admin's command or a session of PostgreSQL that is open."
	waitsForCommunity = "An admin changes a currency or custom field of the community."
	waitsForOutcome   = "The delivery's outcome is locked: by an admin's command or a session of PostgreSQL that is open."
	waitsForEarlier   = "An earlier delivery of the user is parked."
)

// waits returns why a delivery that would change its user has to wait. It is empty if the
// delivery can be decided.
func (w *work) waits(item applier.Item, user userKey) string {
	switch {
	case w.locked == nil, !w.someRefused && len(w.parked) == 0: // as a rule
	case w.refuses(user) && w.busy[user.community]:
		return waitsForCommunity
	case w.refuses(user):
		return waitsForUser
	case w.hasEarlier(item, w.users[user]):
		return waitsForEarlier
	}
	return ""
}

// hasEarlier reports whether an earlier delivery of the user is parked. Parked deliveries
// come before all others. Rows that this transaction has decided do not count.
func (w *work) hasEarlier(item applier.Item, user delivery.ID) bool {
	if len(w.parked[user]) == 0 {
		return false
	}
	key, at := parkedKeyOf(item.Delivery), w.placeOf(item.Delivery)
	for _, row := range w.parked[user] {
		switch {
		case row.parkedKey == key:
			return !item.WasParked // of a message that was redelivered
		case w.unparked[row.parkedKey]:
		case !item.WasParked || row.place.Before(at):
			return true
		}
	}
	return false
}

// userOrOwn is what a replay waits by that may have no user.
func (w *work) userOrOwn(item applier.Item) delivery.ID {
	if key, ok := userOf(item); ok && !w.isMissing(key) {
		return w.users[key]
	}
	return item.Delivery.ID
}

// isGone reports whether the parked row of a delivery is gone: another transaction has
// decided it.
func (w *work) isGone(item applier.Item) bool {
	if !item.WasParked {
		return false
	}
	_, ok := w.own[parkedKeyOf(item.Delivery)]
	return !ok
}

// settled notes the rows that change: of a parked delivery that is decided now, or of one
// that has to be parked.
func (w *work) settled(item applier.Item, s applier.Settlement) {
	if s.Parked || !item.WasParked || w.isGone(item) {
		return
	}
	if w.unparked == nil {
		w.unparked = map[parkedKey]bool{}
	}
	w.unparked[parkedKeyOf(item.Delivery)] = true
}

// park makes an item wait for a user. If it waits already, its row stays unchanged,
// because it is retried often.
func (w *work) park(item applier.Item, user delivery.ID, why string) applier.Settlement {
	if !item.WasParked || w.own[parkedKeyOf(item.Delivery)] != user {
		w.rows.parked.add(applier.Parking{Item: item, Reason: applier.UserLocked, Detail: why}, user, w)
	}
	return applier.Settlement{Parked: true}
}

const unparkQuery = `
DELETE FROM parked
WHERE ctid = ANY (ARRAY(
    SELECT p.ctid FROM unnest($1::uuid[], $2::uuid[]) AS r (delivery_id, replay_id)
    CROSS JOIN LATERAL (SELECT ctid FROM parked WHERE delivery_id = r.delivery_id AND replay_id = r.replay_id OFFSET 0) AS p
))`

// writeParked removes the rows that are decided and adds those that wait.
func (w *work) writeParked(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements) error {
	if len(w.unparked) > 0 {
		var ids, replays pg.Array
		for key := range w.unparked {
			ids.ID(key.id)
			replays.ID(key.replay)
		}
		result, err := tx.StmtxContext(ctx, stmts.unpark).ExecContext(ctx, ids.Param(), replays.Param())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || int(n) != len(w.unparked) {
			return fmt.Errorf("%w: %d of %d parked rows were there: %w", errOvertaken, n, len(w.unparked), err)
		}
	}
	return w.rows.parked.write(ctx, tx, stmts)
}
