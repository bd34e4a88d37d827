package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// Session is somebody who is signed in.
type Session struct {
	Admin  string
	Grants admin.Grants // as they are now
	UsedAt time.Time
}

const (
	// FOR SHARE: a concurrent change of the account's password or state waits for this
	// lock, and then ends this session too.
	addSessionQuery = `
INSERT INTO sessions (token, admin, created_at, used_at, address)
SELECT $1, name, $4, $4, $5 FROM admins WHERE name = $2 AND password = $3 AND NOT disabled FOR SHARE`
	// Those that are over are of no use to anybody.
	forgetSessionsQuery = `DELETE FROM sessions WHERE created_at < $1 OR used_at < $2`
	// A sign-in that succeeds is no attempt: it clears the name's attempts from this
	// network, and takes one away from the other limits.
	forgiveQuery = `
DELETE FROM sign_in_attempts WHERE key = $1 OR id IN (SELECT max(id) FROM sign_in_attempts WHERE key = ANY ($2) GROUP BY key)`
	knowNetworkQuery = `
INSERT INTO sign_in_networks (admin, network, used_at) VALUES ($1, $2, $3)
ON CONFLICT (admin, network) DO UPDATE SET used_at = greatest(sign_in_networks.used_at, excluded.used_at)`
	// An account that travels has as many as this, its newest.
	forgetNetworksQuery = `
DELETE FROM sign_in_networks WHERE used_at < $2 OR admin = $1 AND network NOT IN
    (SELECT network FROM sign_in_networks WHERE admin = $1 ORDER BY used_at DESC LIMIT 50)`
	knowsNetworkQuery = `SELECT EXISTS (SELECT FROM sign_in_networks WHERE admin = $1 AND network = $2 AND used_at >= $3)`
)

// NewSession is somebody whose password was found right.
type NewSession struct {
	Token []byte // SHA-256
	// Ends is the token of a session that this one replaces, nil for none.
	Ends []byte
	// Account has the password's hash with which it was found.
	Account admin.Account
	Address string
	Network string // of the address
	// Attempts with the key Forgiven are forgotten, and the last of each in Counted.
	Forgiven string
	Counted  []string

	At time.Time
	// Sessions that were made or used before these times are over, and networks are
	// not known any more.
	MadeAfter, UsedAfter, KnownAfter time.Time
}

// KnowsNetwork reports whether an account has signed in from a network since then.
func (s *Store) KnowsNetwork(ctx context.Context, account, network string, since time.Time) (known bool, err error) {
	err = s.db.QueryRowContext(ctx, knowsNetworkQuery, account, network, since).Scan(&known)
	return known, pg.Wrap(err, "find a network")
}

// AddSession signs an account in. It returns ErrNoSession if the account has changed
// since its password was found right.
func (s *Store) AddSession(ctx context.Context, in NewSession) error {
	err := s.inTxAgain(ctx, func(tx *sqlx.Tx) error { return addSession(ctx, tx, in) })
	return pg.Wrap(err, "sign in")
}

func addSession(ctx context.Context, tx *sqlx.Tx, in NewSession) error {
	if err := execAll(ctx, tx, 1, ErrNoSession, addSessionQuery, in.Token, in.Account.Name, in.Account.PasswordHash, in.At, in.Address); err != nil {
		return err
	}
	for _, statement := range []struct {
		query string
		args  []any
	}{
		{endSessionQuery, []any{in.Ends}},
		{forgiveQuery, []any{in.Forgiven, pq.StringArray(in.Counted)}},
		{forgetSessionsQuery, []any{in.MadeAfter, in.UsedAfter}},
		{knowNetworkQuery, []any{in.Account.Name, in.Network, in.At}},
		{forgetNetworksQuery, []any{in.Account.Name, in.KnownAfter}},
	} {
		if _, err := tx.ExecContext(ctx, statement.query, statement.args...); err != nil {
			return err
		}
	}
	return nil
}

const changePasswordQuery = `UPDATE admins SET password = $3 WHERE name = $1 AND password = $2 AND NOT disabled`

// ChangePassword gives an account a new password's hash, ends its sessions and adds
// one. It returns ErrNoSession if the account has changed since its old password was
// found right.
func (s *Store) ChangePassword(ctx context.Context, in NewSession, hash string) error {
	err := s.inTxAgain(ctx, func(tx *sqlx.Tx) error {
		if err := execAll(ctx, tx, 1, ErrNoSession, changePasswordQuery, in.Account.Name, in.Account.PasswordHash, hash); err != nil {
			return err
		}
		if err := endSessions(ctx, tx, in.Account.Name); err != nil {
			return err
		}
		again := in
		again.Account.PasswordHash = hash
		return addSession(ctx, tx, again)
	})
	return pg.Wrap(err, "change a password")
}

const findSessionQuery = `
SELECT s.admin, a.role, ` + selectGrants + `, s.used_at
FROM sessions s JOIN admins a ON a.name = s.admin
WHERE s.token = $1 AND s.created_at >= $2 AND s.used_at >= $3 AND NOT a.disabled`

// FindSession returns a session that is not over, or ErrNoSession.
func (s *Store) FindSession(ctx context.Context, token []byte, madeAfter, usedAfter time.Time) (Session, error) {
	var found Session
	var role admin.Role
	var grants []byte
	err := s.db.QueryRowContext(ctx, findSessionQuery, token, madeAfter, usedAfter).
		Scan(&found.Admin, &role, &grants, &found.UsedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, ErrNoSession
	}
	if err == nil {
		found.Grants, err = scanGrants(role, grants)
	}
	if err != nil {
		return Session{}, pg.Wrap(err, "find a session")
	}
	return found, nil
}

const (
	useSessionQuery = `UPDATE sessions SET used_at = $2 WHERE token = $1`
	endSessionQuery = `DELETE FROM sessions WHERE token = $1`
)

// UseSession records the use of a session, so that it does not end.
func (s *Store) UseSession(ctx context.Context, token []byte, now time.Time) error {
	_, err := s.exec(ctx, useSessionQuery, token, now)
	return pg.Wrap(err, "keep a session")
}

const listSessionsQuery = `
SELECT token, address, created_at, used_at FROM sessions
WHERE admin = $1 AND created_at >= $2 AND used_at >= $3 ORDER BY used_at DESC, token`

// ListSessions returns the sessions of an account that are not over, the one that was
// used last first.
func (s *Store) ListSessions(ctx context.Context, account string, madeAfter, usedAfter time.Time) (all []admin.Session, err error) {
	all, err = pg.Collect(ctx, s.db, listSessionsQuery, func(scan pg.Scan, one *admin.Session) error {
		var token []byte
		err := scan(&token, &one.Address, &one.CreatedAt, &one.UsedAt)
		copy(one.ID[:], token)
		return err
	}, account, madeAfter, usedAfter)
	return all, pg.Wrap(err, "list sessions")
}

const endSessionOfQuery = `DELETE FROM sessions WHERE admin = $1 AND token = $2`

// EndSessionOf ends a session of an account. It returns ErrNoSession if there is none.
func (s *Store) EndSessionOf(ctx context.Context, account string, id [32]byte) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		return execAll(ctx, tx, 1, ErrNoSession, endSessionOfQuery, account, id[:])
	})
	return pg.Wrap(err, "end a session")
}

// EndSessions signs an account out everywhere.
func (s *Store) EndSessions(ctx context.Context, account string) error {
	return pg.Wrap(s.inTx(ctx, func(tx *sqlx.Tx) error { return endSessions(ctx, tx, account) }), "end sessions")
}

// EndSession signs out.
func (s *Store) EndSession(ctx context.Context, token []byte) error {
	_, err := s.exec(ctx, endSessionQuery, token)
	return pg.Wrap(err, "sign out")
}
