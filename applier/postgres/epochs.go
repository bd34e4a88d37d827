package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
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

// of returns the numbers of the incarnations in a batch. A new incarnation always gets
// the next number: numbers follow the order of the streams only if none is left out.
func (e *epochs) of(ctx context.Context, s *Store, batch []applier.Item) (map[string]int64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.number == nil {
		e.number = map[string]int64{"": 0} // of a stream without one
	}
	for _, item := range batch {
		if err := e.learn(ctx, item.Delivery.Incarnation, s.addEpoch); err != nil {
			return nil, err
		}
		first := item.Delivery.First
		if first == nil {
			continue
		}
		// A stream that is gone gets no number: it would count as later than this one.
		if err := e.learn(ctx, first.Incarnation, s.findEpoch); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
	}
	return e.number, nil
}

// forget makes the next call read all numbers again.
func (e *epochs) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.number = nil
}

// errRenumbered is not the batch's fault: its epochs have to be read again.
var errRenumbered = errors.New("the database numbers the stream's incarnations otherwise than it did")

// names notes which incarnations a delivery names.
func (w *work) names(d *delivery.Delivery) {
	if d.Incarnation != "" {
		w.named[d.Incarnation] = -1
	}
	if d.First != nil && d.First.Incarnation != "" {
		w.named[d.First.Incarnation] = -1
	}
}

// checkEpochs compares the numbers in memory with those of the database that this
// transaction is in: a standby that took over may lack the newest one.
func (w *work) checkEpochs() error {
	for incarnation, epoch := range w.named {
		if known, ok := w.epochs[incarnation]; ok && known != epoch {
			return fmt.Errorf("%w: %s is %d, and was %d", errRenumbered, incarnation, epoch, known)
		}
	}
	return nil
}

// learn has the number of an incarnation that is not known yet.
func (e *epochs) learn(ctx context.Context, incarnation string, read func(context.Context, string) (int64, error)) error {
	if _, ok := e.number[incarnation]; ok {
		return nil
	}
	n, err := read(ctx, pg.CleanText(incarnation))
	if err != nil {
		return fmt.Errorf("number the stream's incarnation: %w", err)
	}
	next := maps.Clone(e.number) // the map that others read is never written
	next[incarnation] = n
	e.number = next
	return nil
}

func (s *Store) findEpoch(ctx context.Context, incarnation string) (epoch int64, err error) {
	err = s.db.GetContext(ctx, &epoch, readEpochQuery, incarnation)
	return epoch, err
}

func (s *Store) addEpoch(ctx context.Context, incarnation string) (epoch int64, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, addEpochQuery, incarnation); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, readEpochQuery, incarnation).Scan(&epoch)
	})
	return epoch, err
}
