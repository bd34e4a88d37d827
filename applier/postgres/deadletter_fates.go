package postgres

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Fate is the present state of a delivery, whether it is a dead letter or not.
type Fate struct {
	Status     delivery.Status
	Outcome    delivery.Outcome
	DeadLetter bool
	// Discarded is the last time it was given up, zero if it never was.
	Discarded Discard
}

const fatesQuery = `
SELECT o.delivery_id, o.community, o.status, coalesce(o.outcome, ''), d.delivery_id IS NOT NULL, coalesce(x.discarded_by, ''), coalesce(x.note, ''), x.at
FROM outcomes o
LEFT JOIN dead_letters d ON d.delivery_id = o.delivery_id
LEFT JOIN LATERAL (SELECT * FROM discards WHERE delivery_id = o.delivery_id ORDER BY at DESC LIMIT 1) AS x ON true
WHERE o.delivery_id = ANY ($1::uuid[])`

// Fates returns those of the ids that have an outcome.
func (s *Store) Fates(ctx context.Context, ids []delivery.ID) (map[delivery.ID]Fate, error) {
	fates := make(map[delivery.ID]Fate, len(ids))
	err := pg.Each(ctx, s.db, fatesQuery, func(scan pg.Scan) error {
		var f Fate
		var community string
		if err := scan((*pg.ID)(&f.Discarded.DeliveryID), &community, &f.Status, &f.Outcome, &f.DeadLetter, &f.Discarded.By, &f.Discarded.Note, (*pg.Time)(&f.Discarded.At)); err != nil {
			return err
		}
		if admin.Sees(ctx, community) {
			fates[f.Discarded.DeliveryID] = f
		}
		return nil
	}, pg.IDs(ids))
	return fates, pg.Wrap(err, "look up the fates of dead letters")
}

// Failure is when a dead letter failed last. A letter that fails again has
// another one.
type Failure struct {
	ID delivery.ID
	At time.Time
}

const failuresQuery = `
SELECT delivery_id, failed_at
FROM dead_letters
WHERE (failed_at, delivery_id) > ($1, $2)
ORDER BY failed_at, delivery_id
LIMIT $3`

// Failures returns those that come after one, oldest first. The zero id comes
// before all others of its moment.
func (s *Store) Failures(ctx context.Context, after Failure, limit int) ([]Failure, error) {
	all, err := pg.Collect(ctx, s.db, failuresQuery, func(scan pg.Scan, f *Failure) error {
		return scan((*pg.ID)(&f.ID), &f.At)
	}, after.At, after.ID.String(), limit)
	return all, pg.Wrap(err, "look for dead letters")
}
