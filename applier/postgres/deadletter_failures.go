package postgres

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

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
