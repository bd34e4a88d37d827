package postgres

import (
	"context"
	"database/sql"
	"time"

	"github.com/jmoiron/sqlx"
)

// scanner reads the columns of one row.
type scanner func(into ...any) error

// each runs a query and calls f with each row.
func each(ctx context.Context, db sqlx.QueryerContext, query string, f func(scanner) error, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func orNil(n sql.Null[int64]) *int64 {
	if !n.Valid {
		return nil
	}
	return &n.V
}

func timeOrNil(t sql.Null[time.Time]) *time.Time {
	if !t.Valid {
		return nil
	}
	return new(t.V.UTC())
}
