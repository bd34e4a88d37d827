package postgres

import (
	"context"
	"fmt"
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
	rows, err := s.db.QueryContext(ctx, failuresQuery, after.At, after.ID.String(), limit)
	if err != nil {
		return nil, fmt.Errorf("look for dead letters: %w", err)
	}
	defer rows.Close()
	var all []Failure
	for rows.Next() {
		var id pg.ID
		var f Failure
		if err := rows.Scan(&id, &f.At); err != nil {
			return nil, fmt.Errorf("look for dead letters: %w", err)
		}
		f.ID = delivery.ID(id)
		all = append(all, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for dead letters: %w", err)
	}
	return all, nil
}
