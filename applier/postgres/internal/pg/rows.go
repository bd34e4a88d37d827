package pg

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Scan reads the columns of one row.
type Scan func(into ...any) error

// Queryer is a connection, a pool of them, or a transaction.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Each runs a query and calls f with each row.
func Each(ctx context.Context, db Queryer, query string, f func(Scan) error, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return tooLong(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return tooLong(rows.Err())
}

// Collect runs a query and returns what f makes of each row.
func Collect[T any](ctx context.Context, db Queryer, query string, f func(Scan, *T) error, args ...any) (all []T, err error) {
	err = Each(ctx, db, query, func(scan Scan) error {
		var one T
		err := f(scan, &one)
		all = append(all, one)
		return err
	}, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Map is Collect for rows with a key.
func Map[K comparable, V any](ctx context.Context, db Queryer, query string, f func(Scan, *K, *V) error, args ...any) (map[K]V, error) {
	all := map[K]V{}
	err := Each(ctx, db, query, func(scan Scan) error {
		var key K
		var value V
		err := f(scan, &key, &value)
		all[key] = value
		return err
	}, args...)
	return all, err
}

// Wrap says what could not be done. It is nil where nothing failed.
func Wrap(err error, what string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", fmt.Sprintf(what, args...), err)
}

// OrNil returns nil for NULL.
func OrNil(n sql.Null[int64]) *int64 {
	if !n.Valid {
		return nil
	}
	return &n.V
}

// Time reads a time, in UTC; NULL is the zero time.
type Time time.Time

// Scan implements sql.Scanner.
func (t *Time) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t = Time{}
	case time.Time:
		*t = Time(v.UTC())
	default:
		return fmt.Errorf("cannot read a time from %T", src)
	}
	return nil
}

// TimeOrNil returns nil for NULL, and a time in UTC.
func TimeOrNil(t sql.Null[time.Time]) *time.Time {
	if !t.Valid {
		return nil
	}
	return new(t.V.UTC())
}
