package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
)

// epochs remembers the numbers of the stream's incarnations.
type epochs struct {
	mu     sync.Mutex
	number map[string]int64
}

const (
	addEpochQuery  = `INSERT INTO stream_epochs (incarnation) VALUES ($1) ON CONFLICT DO NOTHING`
	readEpochQuery = `SELECT epoch FROM stream_epochs WHERE incarnation = $1`
)

// of returns the numbers of the incarnations in a batch. One that is seen for the
// first time gets the next number, whatever its deliveries are about: numbers
// are in the order of the streams only if none is left out.
func (e *epochs) of(ctx context.Context, s *Store, batch []applier.Item) (map[string]int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.number == nil {
		e.number = map[string]int64{"": 0} // of a stream without one
	}
	known := e.number
	for _, item := range batch {
		incarnation := item.Delivery.Incarnation
		if _, ok := known[incarnation]; ok {
			continue
		}
		n, err := s.readEpoch(ctx, incarnation)
		if err != nil {
			return nil, fmt.Errorf("number the stream's incarnation: %w", err)
		}
		// The map that others read is never written.
		next := map[string]int64{incarnation: n}
		for incarnation, n := range known {
			next[incarnation] = n
		}
		known = next
		e.number = known
	}
	return known, nil
}

func (s *Store) readEpoch(ctx context.Context, incarnation string) (epoch int64, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, addEpochQuery, incarnation); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, readEpochQuery, incarnation).Scan(&epoch)
	})
	return epoch, err
}
