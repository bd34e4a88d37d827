package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// removal names a message of a stream and a moment. Each delivery up to that message, of
// this stream and of streams before it, was settled if it was stored before the moment.
// Outcomes of such deliveries were removed. A restored stream uses sequences again: the
// moment tells new deliveries from old ones.
type removal struct {
	epoch, sequence int64
	storedBefore    time.Time
}

// removals are few: one that covers another takes its place.
type removals []removal

// have reports whether a delivery that has no outcome had one.
func (all removals) have(at ledger.Place, storedAt time.Time) bool {
	for _, r := range all {
		up := r.epoch > at.Epoch || r.epoch == at.Epoch && uint64(r.sequence) >= at.Sequence // sequences are not negative
		if up && storedAt.Before(r.storedBefore) {
			return true
		}
	}
	return false
}

// isForgotten reports whether nothing may be done about an item without an outcome.
// One that comes from its row waited while others like it were removed.
func (w *work) isForgotten(item applier.Item) bool {
	return w.isGone(item) || !item.WasParked && w.hadOutcome(item.Delivery)
}

// hadOutcome reports whether a delivery without an outcome had one that was
// removed for its age. Of a copy its first place decides as well.
func (w *work) hadOutcome(d *delivery.Delivery) bool {
	if w.removals.have(w.placeOf(d), storedAt(d)) {
		return true
	}
	if d.First == nil {
		return false
	}
	epoch, ok := w.epochs[d.First.Incarnation]
	first := d.First.StoredAt
	if first.IsZero() {
		first = d.ReceivedAt
	}
	return ok && w.removals.have(ledger.Place{Epoch: epoch, Position: d.First.Position}, first)
}

// storedAt falls back on the time of the request, which is a little earlier.
func storedAt(d *delivery.Delivery) time.Time {
	if d.StoredAt.IsZero() {
		return d.ReceivedAt
	}
	return d.StoredAt
}

const (
	// A stream that no delivery was settled from is later than all that are known.
	removedEpoch = `
r AS (
    SELECT coalesce(e.epoch, m.epoch) AS epoch, CASE WHEN e.epoch IS NULL THEN 9223372036854775807 ELSE $2 END AS sequence
    FROM (SELECT coalesce(max(epoch), 0) AS epoch FROM stream_epochs) m
    LEFT JOIN (SELECT 0 AS epoch WHERE $1 = '' UNION ALL SELECT epoch FROM stream_epochs WHERE incarnation = $1) e ON true
)`
	addRemovalQuery = `
WITH ` + removedEpoch + `, covered AS (
    DELETE FROM removals x USING r WHERE (x.epoch, x.sequence) < (r.epoch, r.sequence) AND x.stored_before <= $3
)
INSERT INTO removals AS now (epoch, sequence, stored_before)
SELECT r.epoch, r.sequence, $3 FROM r
WHERE NOT EXISTS (SELECT FROM removals x WHERE (x.epoch, x.sequence) >= (r.epoch, r.sequence) AND x.stored_before >= $3)
ON CONFLICT (epoch, sequence) DO UPDATE SET stored_before = excluded.stored_before WHERE now.stored_before < excluded.stored_before`
)

// addRemoval is written in the transaction that removes outcomes.
func addRemoval(ctx context.Context, tx *sqlx.Tx, old Old) error {
	if old.First == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, addRemovalQuery, old.Incarnation, int64(old.First-1), old.StoredBefore) // sequences fit
	return err
}

// Forgotten takes deliveries of one stream that have no outcome. It returns the
// deliveries whose outcome was removed for its age.
func (s *Store) Forgotten(ctx context.Context, incarnation string, unknown []*delivery.Delivery) (map[delivery.ID]bool, error) {
	forgotten := map[delivery.ID]bool{}
	if len(unknown) == 0 {
		return forgotten, nil
	}
	w := work{epochs: map[string]int64{"": 0}}
	err := pg.Each(ctx, s.db, removalsQuery, func(scan pg.Scan) error {
		var of sql.NullString
		var r removal
		err := scan(&of, &r.epoch, &r.sequence, (*pg.Time)(&r.storedBefore))
		if of.Valid {
			w.epochs[of.String] = r.epoch
			return err
		}
		w.removals = append(w.removals, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the removals: %w", err)
	}
	if _, ok := w.epochs[incarnation]; !ok { // nothing was settled from it
		return forgotten, nil
	}
	for _, d := range unknown {
		at := *d
		at.Incarnation = incarnation
		if w.hadOutcome(&at) {
			forgotten[d.ID] = true
		}
	}
	return forgotten, nil
}

const removalsQuery = `
SELECT NULL, epoch, sequence, stored_before FROM removals
UNION ALL
SELECT incarnation, epoch, 0, NULL FROM stream_epochs`
