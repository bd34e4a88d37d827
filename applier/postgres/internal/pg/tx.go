package pg

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// InTx runs f in a transaction. Every write goes through here: outside of an
// explicit transaction database/sql runs a statement again, unasked, when its
// connection dies, also after the server committed it (lib/pq issue 939).
func InTx(ctx context.Context, db *sqlx.DB, f func(*sqlx.Tx) error) error {
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return classify(fmt.Errorf("begin: %w", err))
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // the first error is the one that counts
		return classify(err)
	}
	// An error of COMMIT leaves the result unknown. The caller runs the whole again: a
	// SELECT does not see a transaction that is still committing, an INSERT waits for it.
	if err := tx.Commit(); err != nil {
		return classify(fmt.Errorf("commit: %w", err))
	}
	return nil
}

// Exec runs a statement and returns how many rows it wrote.
func Exec(ctx context.Context, tx *sqlx.Tx, query string, args ...any) (rows int64, err error) {
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Snapshot runs f in a transaction that sees the database as it is at one moment,
// and writes nothing.
func Snapshot(ctx context.Context, db *sqlx.DB, f func(*sqlx.Tx) error) error {
	tx, err := db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback() // there is nothing to commit
	return f(tx)
}
