package postgres

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Discard is a dead letter that was given up. Its payload is deleted.
type Discard struct {
	DeliveryID delivery.ID
	By, Note   string
	At         time.Time
}

// Everybody who changes dead letters locks their outcomes first, in the order of
// the ids, and so waits for the others instead of deadlocking.
const lockOutcomesQuery = `SELECT delivery_id FROM outcomes WHERE delivery_id = ANY ($1::uuid[]) ORDER BY delivery_id FOR UPDATE`

const discardQuery = `
WITH gone AS (
    DELETE FROM dead_letters d
    USING outcomes o
    WHERE d.delivery_id = ANY ($1::uuid[]) AND o.delivery_id = d.delivery_id AND o.status = 'failed' AND d.failed_at <= $2
    RETURNING d.delivery_id
)
INSERT INTO discards (delivery_id, discarded_by, note, at)
SELECT delivery_id, $3, $4, clock_timestamp()
FROM gone
RETURNING delivery_id`

// DiscardDeadLetters gives up dead letters in one transaction and returns their ids. It
// leaves out letters that failed again after failedBy. The outcomes stay failed.
func (s *Store) DiscardDeadLetters(ctx context.Context, ids []delivery.ID, failedBy time.Time, by, note string) (gone []delivery.ID, err error) {
	err = s.inTxAgain(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lockOutcomesQuery, pg.IDs(ids)); err != nil {
			return err
		}
		gone, err = pg.QueryIDs(ctx, tx, discardQuery, pg.IDs(ids), failedBy, by, note)
		return err
	})
	return gone, pg.Wrap(err, "discard dead letters")
}

const discardsQuery = `SELECT discarded_by, note, at FROM discards WHERE delivery_id = $1 ORDER BY at`

// Discards returns how often a delivery was given up: it may have been imported
// again between.
func (s *Store) Discards(ctx context.Context, id delivery.ID) ([]Discard, error) {
	all, err := pg.Collect(ctx, s.db, discardsQuery, func(scan pg.Scan, d *Discard) error {
		d.DeliveryID = id
		return scan(&d.By, &d.Note, &d.At)
	}, id.String())
	return all, pg.Wrap(err, "read discards")
}

// Now is the database's clock, which says when deliveries failed.
func (s *Store) Now(ctx context.Context) (now time.Time, err error) {
	const query = `SELECT clock_timestamp()`
	err = s.db.GetContext(ctx, &now, query)
	return now, pg.Wrap(err, "read the database's clock")
}
