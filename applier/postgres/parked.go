package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// An existing row stays, but what it waits for is updated.
var parkQuery = `
INSERT INTO parked AS now (` + pg.ColumnNames[parkedColumns]() + `, parked_at)
SELECT r.*, clock_timestamp() FROM unnest(` + pg.ColumnParameters[parkedColumns](0) + `) AS r
ON CONFLICT (delivery_id, replay_id) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, user_id = excluded.user_id
WHERE (now.reason, now.detail) <> (excluded.reason, excluded.detail) OR now.user_id IS DISTINCT FROM excluded.user_id`

// parkedRows are rows of parked, column by column.
type parkedRows struct {
	seen    map[parkedKey]bool
	columns parkedColumns
}

// parkedReplay is the JSON of a replay. Its names stay.
type parkedReplay struct {
	Cause       delivery.Cause `json:"cause"`
	RequestedBy string         `json:"requested_by"`
	RequestedAt time.Time      `json:"requested_at"`
	Note        string         `json:"note,omitempty"`
	Revision    uint64         `json:"revision,omitempty"`
	Version     int            `json:"version,omitempty"`
	Edited      bool           `json:"edited,omitempty"`
}

// add adds the row of a delivery that waits for a user or, if the user is zero, for its
// webhook. A delivery that comes twice in a batch gets one row.
func (r *parkedRows) add(p applier.Parking, user delivery.ID, w *work) {
	d, key := p.Delivery, parkedKeyOf(p.Delivery)
	if r.seen[key] {
		return
	}
	if r.seen == nil {
		r.seen = map[parkedKey]bool{}
	}
	r.seen[key] = true
	community := ""
	if p.Webhook != nil {
		community = p.Webhook.Community
	}
	c := &r.columns
	c.ID.ID(key.id)
	c.ReplayID.ID(key.replay)
	c.Slot.Int(int64(d.InSlot()))
	c.WebhookID.Text(pg.NameText(d.WebhookID))
	c.Community.Text(pg.NameText(community))
	c.Reason.Text(string(p.Reason))
	c.Detail.Text(p.Detail)
	c.User.IDOrNull(user)
	c.Epoch.Int(w.placeOf(d).Epoch)
	c.Sequence.Int(int64(d.Position.Sequence)) // sequences fit
	c.Index.Int(int64(d.Position.Index))
	c.StoredAt.TimeOrNull(d.StoredAt)
	c.ReceivedAt.Time(d.ReceivedAt)
	c.Attempts.Int(int64(d.Attempt))
	c.Revision.Int(int64(d.Revision)) // it comes back as it was
	c.Headers.JSON(headersJSON(d.Headers))
	c.Payload.Bytes(d.Body)
	c.Replay.JSONOrNull(replayJSON(d.Replay))
	r.addFirst(d.First)
	c.Malformed.TextOrNull(d.Malformed)
	c.Newer.Bool(d.Newer)
	c.Method.TextOrNull(d.Method)
	c.Query.BytesOrNull(queryBytes(d.Query))
}

func (r *parkedRows) addFirst(first *delivery.Place) {
	c := &r.columns
	if first == nil {
		c.FirstIncarnation.Null()
		c.FirstSequence.Null()
		c.FirstIndex.Null()
		c.FirstStoredAt.Null()
		return
	}
	c.FirstIncarnation.Text(first.Incarnation)
	at := storable(first.Position)
	c.FirstSequence.Int(int64(at.Sequence)) // it fits
	c.FirstIndex.Int(int64(at.Index))
	c.FirstStoredAt.TimeOrNull(first.StoredAt)
}

func replayJSON(r *delivery.Replay) string {
	if r == nil {
		return ""
	}
	text, err := json.Marshal(parkedReplay{r.Cause, r.RequestedBy, r.RequestedAt, r.Note, r.Revision, r.Version, r.Edited})
	if err != nil { // strings and numbers always marshal
		return "{}"
	}
	return string(text)
}

func (r *parkedRows) write(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements) error {
	if len(r.seen) == 0 {
		return nil
	}
	_, err := tx.StmtxContext(ctx, stmts.park).ExecContext(ctx, pg.AppendColumns(nil, &r.columns)...)
	return err
}

// Park has deliveries wait for their webhooks.
func (s *Store) Park(ctx context.Context, batch []applier.Parking) error {
	if len(batch) == 0 {
		return nil
	}
	items := make([]applier.Item, len(batch))
	for i, p := range batch {
		items[i] = p.Item
		items[i].Plan = applier.Plan{Skip: true} // no user is looked up: the webhook may not be known
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	err := s.numbered(ctx, items, func(epochs map[string]int64, stmts *settleStatements) error {
		rest := batch
		for _, part := range parts(items) {
			all := rest[:len(part)]
			rest = rest[len(part):]
			err := s.inTx(ctx, func(tx *sqlx.Tx) error {
				return newWork(part, epochs).parkAll(ctx, tx, stmts, all)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return pg.Wrap(err, "park")
}

func (w *work) parkAll(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements, batch []applier.Parking) error {
	if err := w.lockPartitions(ctx, tx, stmts); err != nil {
		return fmt.Errorf("lock partitions: %w", err)
	}
	if err := w.readAll(ctx, tx, stmts); err != nil {
		return err
	}
	for _, p := range batch {
		if !w.hasOutcome(p.Item) {
			w.rows.parked.add(p, delivery.ID{}, w)
		}
	}
	return w.rows.parked.write(ctx, tx, stmts)
}

// hasOutcome reports whether there is nothing to decide about an item.
func (w *work) hasOutcome(item applier.Item) bool {
	d := item.Delivery
	if _, known := w.known[d.ID]; known && d.Replay == nil {
		return true
	}
	if d.Replay != nil && w.replayed[d.ID].Executed {
		return true
	}
	return w.isForgotten(item)
}
