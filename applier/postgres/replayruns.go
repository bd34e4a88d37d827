package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ReplayRun is a replay of many dead letters, which may have been interrupted.
type ReplayRun struct {
	ID          delivery.ID
	RequestedBy string
	PlannedAt   time.Time
	Total       int
	Published   int
	// Position is the last dead letter that was published, in the order of ids.
	Position delivery.ID
}

// ErrRunBusy: another command works on the run now.
var ErrRunBusy = errors.New("another command is replaying the same dead letters at this moment")

const (
	openRunQuery = `
SELECT id, requested_by, planned_at, total, published, position FROM replay_runs WHERE selection = $1 AND finished_at IS NULL`

	beginRunQuery = `
INSERT INTO replay_runs (id, selection, requested_by, planned_at, total) VALUES ($1, $2, $3, $4, $5)`

	// A run that was left behind is closed, so that a new one may begin.
	closeRunQuery = `UPDATE replay_runs SET finished_at = clock_timestamp() WHERE id = $1 AND finished_at IS NULL`

	advanceRunQuery = `UPDATE replay_runs SET published = published + $2, position = $3 WHERE id = $1`

	lockRunQuery   = `SELECT pg_try_advisory_lock($1, hashtext($2))`
	unlockRunQuery = `SELECT pg_advisory_unlock($1, hashtext($2))`
)

// runLock is the first key of the advisory locks on runs.
const runLock = 0x5265

// releaseWithin bounds the release of a lock, which the end of its connection
// releases in any case.
const releaseWithin = time.Second

// FindRun returns the run of a selection that was begun and not finished, or nil.
func (s *Store) FindRun(ctx context.Context, selection string) (*ReplayRun, error) {
	var r ReplayRun
	err := s.db.QueryRowContext(ctx, openRunQuery, selection).
		Scan((*pg.ID)(&r.ID), &r.RequestedBy, &r.PlannedAt, &r.Total, &r.Published, (*pg.ID)(&r.Position))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for an interrupted replay: %w", err)
	}
	return &r, nil
}

// Hold keeps other commands from the selection as long as this process lives,
// until Release. It returns ErrRunBusy when another has it.
func (s *Store) Hold(ctx context.Context, selection string) (release func(), err error) {
	conn, err := s.db.Connx(ctx)
	if err != nil {
		return nil, fmt.Errorf("hold a replay: %w", err)
	}
	var held bool
	if err := conn.QueryRowContext(ctx, lockRunQuery, runLock, selection).Scan(&held); err != nil {
		conn.Close() // the error of the query is the one that counts
		return nil, fmt.Errorf("hold a replay: %w", err)
	}
	if !held {
		conn.Close() // nothing was done on it
		return nil, ErrRunBusy
	}
	return func() {
		// The server notices an ended connection a moment later than the next command
		// may ask for the lock.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
		defer cancel()
		_, _ = conn.ExecContext(ctx, unlockRunQuery, runLock, selection)
		// The lock is the connection's, which must not go back to the pool with it.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}, nil
}

// BeginRun records that the replay of a selection begins.
func (s *Store) BeginRun(ctx context.Context, selection string, r ReplayRun) error {
	_, err := s.exec(ctx, beginRunQuery, r.ID.String(), selection, r.RequestedBy, r.PlannedAt, r.Total)
	return pg.Wrap(err, "begin a replay")
}

// AdvanceRun records how many more dead letters are published; position is the
// last of them.
func (s *Store) AdvanceRun(ctx context.Context, run delivery.ID, more int, position delivery.ID) error {
	_, err := s.exec(ctx, advanceRunQuery, run.String(), more, position.String())
	return pg.Wrap(err, "record how far a replay is")
}

// FinishRun records that all of a run is published, or that it is given up.
func (s *Store) FinishRun(ctx context.Context, run delivery.ID) error {
	_, err := s.exec(ctx, closeRunQuery, run.String())
	return pg.Wrap(err, "finish a replay")
}
