package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

var (
	// ErrAdminNotFound: no account of the console has this name.
	ErrAdminNotFound = errors.New("no such account")
	// ErrAdminExists: the name belongs to an account already.
	ErrAdminExists = errors.New("there is an account with this name already")
	// ErrNoSession: the session is unknown, has ended or expired.
	ErrNoSession = errors.New("no such session")
)

// Admin is an account of the console.
type Admin struct {
	Name     string
	Password string // its hash
	Role     string
	Disabled bool
	At       time.Time // it was made
}

const addAdminQuery = `
INSERT INTO admins (name, password, role, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

// AddAdmin adds an account, or returns ErrAdminExists.
func (s *Store) AddAdmin(ctx context.Context, a Admin) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, addAdminQuery, a.Name, a.Password, a.Role, a.At)
		return oneRow(result, err, ErrAdminExists)
	})
	if err != nil {
		return fmt.Errorf("add an account: %w", err)
	}
	return nil
}

const selectAdmins = `SELECT name, password, role, disabled, created_at FROM admins`

// FindAdmin returns an account, or ErrAdminNotFound.
func (s *Store) FindAdmin(ctx context.Context, name string) (Admin, error) {
	all, err := s.queryAdmins(ctx, selectAdmins+` WHERE name = $1`, name)
	if err == nil && len(all) == 0 {
		err = ErrAdminNotFound
	}
	if err != nil {
		return Admin{}, fmt.Errorf("find an account: %w", err)
	}
	return all[0], nil
}

// ListAdmins returns all accounts by name.
func (s *Store) ListAdmins(ctx context.Context) ([]Admin, error) {
	all, err := s.queryAdmins(ctx, selectAdmins+` ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return all, nil
}

func (s *Store) queryAdmins(ctx context.Context, query string, args ...any) ([]Admin, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Admin
	for rows.Next() {
		var a Admin
		if err := rows.Scan(&a.Name, &a.Password, &a.Role, &a.Disabled, &a.At); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

// AdminChange is what is to change of an account; nil leaves it as it is.
type AdminChange struct {
	Role, Password *string
	Disabled       *bool
}

const (
	setAdminQuery = `
UPDATE admins SET role = coalesce($2, role), password = coalesce($3, password), disabled = coalesce($4, disabled) WHERE name = $1`
	endSessionsQuery = `DELETE FROM sessions WHERE admin = $1`
	// Somebody else may have signed in, too.
	unknowNetworksQuery = `DELETE FROM sign_in_networks WHERE admin = $1`
)

// endSessions signs an account out everywhere.
func endSessions(ctx context.Context, tx *sqlx.Tx, admin string) error {
	for _, query := range []string{endSessionsQuery, unknowNetworksQuery} {
		if _, err := tx.ExecContext(ctx, query, admin); err != nil {
			return err
		}
	}
	return nil
}

// SetAdmin changes an account. With a new password, or disabled, it is signed out
// everywhere.
func (s *Store) SetAdmin(ctx context.Context, name string, c AdminChange) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, setAdminQuery, name, c.Role, c.Password, c.Disabled)
		if err := oneRow(result, err, ErrAdminNotFound); err != nil {
			return err
		}
		if c.Password == nil && (c.Disabled == nil || !*c.Disabled) {
			return nil
		}
		return endSessions(ctx, tx, name)
	})
	if err != nil {
		return fmt.Errorf("change an account: %w", err)
	}
	return nil
}

// oneRow returns none if a statement wrote no row.
func oneRow(result sql.Result, err, none error) error {
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return none
}

// AttemptLimit is how many sign-ins with one key may fail.
type AttemptLimit struct {
	Key  string
	Most int
}

const (
	lockAttemptsQuery   = `SELECT pg_advisory_xact_lock(1936287587, hashtext($1))` // "sign"
	forgetAttemptsQuery = `DELETE FROM sign_in_attempts WHERE at < $1`
	attemptsQuery       = `SELECT count(*), coalesce(min(at), now()) FROM sign_in_attempts WHERE key = $1 AND at >= $2`
	addAttemptQuery     = `INSERT INTO sign_in_attempts (key, at) VALUES ($1, $2)`
)

// TryAttempt counts a sign-in that begins, if none of its limits is reached since
// then. Else it returns since when the one that is has been counting.
func (s *Store) TryAttempt(ctx context.Context, limits []AttemptLimit, since, now time.Time) (ok bool, first time.Time, err error) {
	limits = slices.SortedFunc(slices.Values(limits), func(a, b AttemptLimit) int { return strings.Compare(a.Key, b.Key) })
	err = s.inTxAgain(ctx, func(tx *sqlx.Tx) error {
		ok = true
		for _, l := range limits { // in one order, or two would wait for each other
			if _, err := tx.ExecContext(ctx, lockAttemptsQuery, l.Key); err != nil {
				return err
			}
			var count int
			var oldest time.Time
			if err := tx.QueryRowContext(ctx, attemptsQuery, l.Key, since).Scan(&count, &oldest); err != nil {
				return err
			}
			if count >= l.Most {
				ok, first = false, oldest
				return nil
			}
		}
		for _, l := range limits {
			if _, err := tx.ExecContext(ctx, addAttemptQuery, l.Key, now); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, forgetAttemptsQuery, since)
		return err
	})
	if err != nil {
		return false, time.Time{}, fmt.Errorf("count a sign-in: %w", err)
	}
	return ok, first, nil
}
