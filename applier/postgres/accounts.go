package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

var (
	// ErrAccountNotFound: no account of the console has this name.
	ErrAccountNotFound = errors.New("no such account")
	// ErrAccountExists: the name belongs to an account already.
	ErrAccountExists = errors.New("there is an account with this name already")
	// ErrNoSession: the session is unknown, has ended or expired.
	ErrNoSession = errors.New("no such session")
)

// ErrLastOwner: nobody could give rights any more.
var ErrLastOwner = errors.New("this is the only owner who can sign in: make another account an owner first")

const addAdminQuery = `
INSERT INTO admins (name, password, role, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

// AddAccount adds an account, or returns ErrAccountExists.
func (s *Store) AddAccount(ctx context.Context, a admin.Account) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		if err := execAll(ctx, tx, 1, ErrAccountExists, addAdminQuery, a.Name, a.PasswordHash, string(roleOf(a.Grants)), a.CreatedAt); err != nil {
			return err
		}
		return writeGrants(ctx, tx, a.Name, a.Grants)
	})
	return pg.Wrap(err, "add an account")
}

func roleOf(g admin.Grants) admin.Role {
	if g.IsOwner() {
		return admin.RoleOwner
	}
	return admin.RoleMember
}

const (
	forgetGrantsQuery = `DELETE FROM admin_grants WHERE admin = $1`
	addGrantsQuery    = `INSERT INTO admin_grants (admin, community, "right") SELECT $1, g.* FROM unnest($2::text[], $3::text[]) AS g`
)

// writeGrants replaces what an account is granted. An owner has no rows.
func writeGrants(ctx context.Context, tx *sqlx.Tx, name string, grants admin.Grants) error {
	if _, err := tx.ExecContext(ctx, forgetGrantsQuery, name); err != nil || grants.IsOwner() {
		return err
	}
	var communities, rights pg.Array
	for community, right := range grants {
		communities.Text(community)
		rights.Text(right.String())
	}
	_, err := tx.ExecContext(ctx, addGrantsQuery, name, communities.Param(), rights.Param())
	return err
}

// selectGrants are those of the account a, as an object.
const selectGrants = `coalesce((SELECT json_object_agg(g.community, g."right") FROM admin_grants g WHERE g.admin = a.name), '{}')`

const selectAdmins = `SELECT a.name, a.password, a.role, ` + selectGrants + `, a.disabled, a.created_at FROM admins a`

// scanGrants reads what selectGrants selects.
func scanGrants(role admin.Role, text []byte) (admin.Grants, error) {
	if role == admin.RoleOwner {
		return admin.OwnerGrants(), nil
	}
	var grants admin.Grants
	return grants, json.Unmarshal(text, &grants)
}

// FindAccount returns an account, or ErrAccountNotFound.
func (s *Store) FindAccount(ctx context.Context, name string) (admin.Account, error) {
	a, err := findAccount(ctx, s.db, name)
	return a, pg.Wrap(err, "find an account")
}

func findAccount(ctx context.Context, db sqlx.QueryerContext, name string) (admin.Account, error) {
	all, err := queryAccounts(ctx, db, selectAdmins+` WHERE a.name = $1`, name)
	if err != nil {
		return admin.Account{}, err
	}
	if len(all) == 0 {
		return admin.Account{}, ErrAccountNotFound
	}
	return all[0], nil
}

// ListAccounts returns all accounts by name.
func (s *Store) ListAccounts(ctx context.Context) ([]admin.Account, error) {
	all, err := queryAccounts(ctx, s.db, selectAdmins+` ORDER BY a.name`)
	return all, pg.Wrap(err, "list accounts")
}

func queryAccounts(ctx context.Context, db sqlx.QueryerContext, query string, args ...any) ([]admin.Account, error) {
	return pg.Collect(ctx, db, query, func(scan pg.Scan, a *admin.Account) error {
		var grants []byte
		err := scan(&a.Name, &a.PasswordHash, &a.Role, &grants, &a.Disabled, (*pg.Time)(&a.CreatedAt))
		if err == nil {
			a.Grants, err = scanGrants(a.Role, grants)
		}
		return err
	}, args...)
}

// AccountChange is what is to change of an account; nil leaves it as it is.
type AccountChange struct {
	// Grants returns the new ones for those that there are.
	Grants       func(now admin.Grants) (admin.Grants, error)
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
	return execEach(ctx, tx, []string{endSessionsQuery, unknowNetworksQuery}, name)
}

const (
	// One at a time: two owners who lower each other would both see the other one.
	lockOwnersQuery = `SELECT pg_advisory_xact_lock(1869378162, 0)` // "olwr"
	lastOwnerQuery  = `SELECT NOT EXISTS (SELECT FROM admins WHERE role = 'owner' AND NOT disabled AND name <> $1)`
)

// newGrants returns what an account is granted after a change, nil for what it has. It
// returns ErrLastOwner if nobody else is an owner who can sign in, and this one would not
// be. The caller has the lock.
func newGrants(ctx context.Context, tx *sqlx.Tx, name string, c AccountChange) (grants admin.Grants, err error) {
	now, err := findAccount(ctx, tx, name)
	if err != nil {
		return nil, err
	}
	stays := c.Disabled == nil || !*c.Disabled
	if c.Grants != nil {
		if grants, err = c.Grants(now.Grants); err != nil {
			return nil, err
		}
		stays = stays && grants.IsOwner()
	}
	if stays || !now.Grants.IsOwner() || now.Disabled {
		return grants, nil
	}
	return grants, refuseIf(ctx, tx, ErrLastOwner, lastOwnerQuery, name)
}

// SetAccount changes an account. With a new password, or disabled, it is signed out
// everywhere. It returns ErrLastOwner rather than leave no owner.
func (s *Store) SetAccount(ctx context.Context, name string, c AccountChange) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		var grants admin.Grants
		if c.Grants != nil || c.Disabled != nil && *c.Disabled {
			if _, err := tx.ExecContext(ctx, lockOwnersQuery); err != nil {
				return err
			}
			var err error
			if grants, err = newGrants(ctx, tx, name, c); err != nil {
				return err
			}
		}
		return setAccount(ctx, tx, name, c, grants)
	})
	return pg.Wrap(err, "change an account")
}

func setAccount(ctx context.Context, tx *sqlx.Tx, name string, c AccountChange, grants admin.Grants) error {
	var role *admin.Role
	if grants != nil {
		role = new(roleOf(grants))
	}
	if err := execAll(ctx, tx, 1, ErrAccountNotFound, setAdminQuery, name, role, c.PasswordHash, c.Disabled); err != nil {
		return err
	}
	if grants != nil {
		if err := writeGrants(ctx, tx, name, grants); err != nil {
			return err
		}
	}
	if c.PasswordHash == nil && (c.Disabled == nil || !*c.Disabled) {
		return nil
	}
	return endSessions(ctx, tx, name)
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
	return ok && err == nil, first, pg.Wrap(err, "count a sign-in")
}
