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

	"github.com/coinhook/coinhook/applier/admin"
)

var (
	// ErrAccountNotFound: no account of the console has this name.
	ErrAccountNotFound = errors.New("no such account")
	// ErrAccountExists: the name belongs to an account already.
	ErrAccountExists = errors.New("there is an account with this name already")
	// ErrNoSession: the session is unknown, has ended or expired.
	ErrNoSession = errors.New("no such session")
)

const addAdminQuery = `
INSERT INTO admins (name, password, role, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

// AddAccount adds an account, or returns ErrAccountExists.
func (s *Store) AddAccount(ctx context.Context, a admin.Account) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, addAdminQuery, a.Name, a.PasswordHash, string(a.Role), a.CreatedAt)
		return oneRow(result, err, ErrAccountExists)
	})
	if err != nil {
		return fmt.Errorf("add an account: %w", err)
	}
	return nil
}

const selectAdmins = `SELECT name, password, role, disabled, created_at FROM admins`

// FindAccount returns an account, or ErrAccountNotFound.
func (s *Store) FindAccount(ctx context.Context, name string) (admin.Account, error) {
	all, err := s.queryAccounts(ctx, selectAdmins+` WHERE name = $1`, name)
	if err == nil && len(all) == 0 {
		err = ErrAccountNotFound
	}
	if err != nil {
		return admin.Account{}, fmt.Errorf("find an account: %w", err)
	}
	return all[0], nil
}

// ListAccounts returns all accounts by name.
func (s *Store) ListAccounts(ctx context.Context) ([]admin.Account, error) {
	all, err := s.queryAccounts(ctx, selectAdmins+` ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return all, nil
}

func (s *Store) queryAccounts(ctx context.Context, query string, args ...any) (all []admin.Account, err error) {
	err = each(ctx, s.db, query, func(scan scanner) error {
		var a admin.Account
		err := scan(&a.Name, &a.PasswordHash, &a.Role, &a.Disabled, &a.CreatedAt)
		a.CreatedAt = a.CreatedAt.UTC()
		all = append(all, a)
		return err
	}, args...)
	return all, err
}

// AccountChange is what is to change of an account; nil leaves it as it is.
type AccountChange struct {
	Role         *admin.Role
	PasswordHash *string
	Disabled     *bool
}

const (
	setAdminQuery = `
UPDATE admins SET role = coalesce($2, role), password = coalesce($3, password), disabled = coalesce($4, disabled) WHERE name = $1`
	endSessionsQuery = `DELETE FROM sessions WHERE admin = $1`
	// Somebody else may have signed in, too.
	unknowNetworksQuery = `DELETE FROM sign_in_networks WHERE admin = $1`
)

// endSessions signs an account out everywhere.
func endSessions(ctx context.Context, tx *sqlx.Tx, name string) error {
	for _, query := range []string{endSessionsQuery, unknowNetworksQuery} {
		if _, err := tx.ExecContext(ctx, query, name); err != nil {
			return err
		}
	}
	return nil
}

// SetAccount changes an account. With a new password, or disabled, it is signed out
// everywhere.
func (s *Store) SetAccount(ctx context.Context, name string, c AccountChange) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, setAdminQuery, name, c.Role, c.PasswordHash, c.Disabled)
		if err := oneRow(result, err, ErrAccountNotFound); err != nil {
			return err
		}
		if c.PasswordHash == nil && (c.Disabled == nil || !*c.Disabled) {
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
