// Package postgres keeps the ledger in PostgreSQL. It is the only importer of
// sqlx and lib/pq.
package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// Options tune a Store; the zero value is usable.
type Options = pg.Options

// Store keeps users, balances, custom fields, logs, outcomes and dead letters.
type Store struct {
	db          *sqlx.DB
	settling    *settleStatements
	communities communityCache
	located     located
	epochs      epochs
	slices      auditSlices
	schema      schemaGate
	leadSilence time.Duration
}

var _ applier.Store = (*Store)(nil)

// Open returns a store at once, even while the database is down. An error means
// that the URL cannot work.
func Open(url string, opts Options) (*Store, error) {
	db, err := pg.Open(url, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, leadSilence: leadSilence}
	s.settling = &settleStatements{db: db, patience: patience{lasts: waitForLocks}}
	return s, nil
}

// SameDatabase reports whether two URLs name databases of one name. Their hosts may
// differ, as where one goes through a pooler.
func SameDatabase(a, b string) bool { return pg.SameDatabase(a, b) }

// Close closes all connections.
func (s *Store) Close() error { return s.db.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return pg.Silent(s.db.PingContext(ctx))
}

const readOnlyQuery = `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean`

// Ready reports whether the database takes writes, and its tables match this
// program.
func (s *Store) Ready(ctx context.Context) error {
	var standby, readOnly bool
	if err := s.db.QueryRowContext(ctx, readOnlyQuery).Scan(&standby, &readOnly); err != nil {
		return pg.Silent(err)
	}
	switch {
	case standby:
		return errors.New("PostgreSQL is a standby, which takes no writes: DATABASE_URL names the primary, or all servers")
	case readOnly:
		return errors.New("PostgreSQL takes no writes: default_transaction_read_only is on")
	}
	return s.CheckSchema(ctx)
}

// inTx runs f in a transaction, as every write does. It refuses if the tables do not fit
// this program.
func (s *Store) inTx(ctx context.Context, f func(*sqlx.Tx) error) error {
	if err := s.schema.open(ctx, s.CheckSchema); err != nil {
		return err
	}
	return pg.InTx(ctx, s.db, f)
}

// exec runs one statement in a transaction and returns how many rows it wrote.
func (s *Store) exec(ctx context.Context, query string, args ...any) (rows int64, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		rows, err = pg.Exec(ctx, tx, query, args...)
		return err
	})
	return rows, err
}

// execAll runs a statement that has to write this many rows. It returns otherwise if
// the statement wrote another number of them.
func execAll(ctx context.Context, tx *sqlx.Tx, want int, otherwise error, query string, args ...any) error {
	wrote, err := pg.Exec(ctx, tx, query, args...)
	if err == nil && wrote != int64(want) {
		return otherwise
	}
	return err
}

// refuseIf returns the refusal if a query says true.
func refuseIf(ctx context.Context, tx *sqlx.Tx, refusal error, query string, args ...any) error {
	var is bool
	if err := tx.GetContext(ctx, &is, query, args...); err != nil || !is {
		return err
	}
	return refusal
}

// execEach runs statements that take the same arguments.
func execEach(ctx context.Context, tx *sqlx.Tx, queries []string, args ...any) error {
	for _, query := range queries {
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// maxTries bounds how often inTxAgain begins.
const maxTries = 10

// inTxAgain retries inTx after an error that comes from concurrent writers.
func (s *Store) inTxAgain(ctx context.Context, f func(*sqlx.Tx) error) error {
	for try := 1; ; try++ {
		err := s.inTx(ctx, f)
		if err == nil || try == maxTries || ctx.Err() != nil || !pg.IsPassing(err) {
			return err
		}
	}
}
