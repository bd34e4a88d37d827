package postgres

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

var (
	// ErrTokenNotFound: there is no such token, or it is revoked.
	ErrTokenNotFound = errors.New("no such token")
	// ErrTokenExists: another token of the community has the name.
	ErrTokenExists = errors.New("a token with this name exists already")
)

const selectTokens = `
SELECT sha256, community, name, created_by, created_at, expires_at, last_used_at, revoked_by, revoked_at
FROM tokens`

const addTokenQuery = `
INSERT INTO tokens (sha256, community, name, created_by, expires_at) VALUES ($1, $2, $3, $4, $5)
RETURNING created_at`

// AddToken keeps a new token and returns when it was made.
func (s *Store) AddToken(ctx context.Context, t admin.Token) (createdAt time.Time, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		return tx.QueryRowContext(ctx, addTokenQuery, t.ID[:], t.Community, t.Name, t.CreatedBy, t.ExpiresAt).Scan((*pg.Time)(&createdAt))
	})
	if pq.As(err, pqerror.UniqueViolation) != nil {
		return time.Time{}, ErrTokenExists
	}
	return createdAt, pg.Wrap(err, "add a token")
}

// ListTokens returns tokens, newest first, those too that work no more. An empty
// community is all of them.
func (s *Store) ListTokens(ctx context.Context, community string) ([]admin.Token, error) {
	tokens, err := pg.Collect(ctx, s.db, selectTokens+` WHERE $1 = '' OR community = $1 ORDER BY created_at DESC, sha256`, scanToken, community)
	return tokens, pg.Wrap(err, "list tokens")
}

// FindToken returns a token by its hash, one too that works no more.
func (s *Store) FindToken(ctx context.Context, hash [32]byte) (admin.Token, error) {
	var t admin.Token
	err := scanToken(s.db.QueryRowContext(ctx, selectTokens+` WHERE sha256 = $1`, hash[:]).Scan, &t)
	if errors.Is(err, sql.ErrNoRows) {
		return admin.Token{}, ErrTokenNotFound
	}
	if err != nil {
		return admin.Token{}, pg.Wrap(err, "find a token")
	}
	return t, nil
}

func scanToken(scan pg.Scan, t *admin.Token) error {
	var hash []byte
	var expires, used, revoked sql.Null[time.Time]
	err := scan(&hash, &t.Community, &t.Name, &t.CreatedBy, (*pg.Time)(&t.CreatedAt), &expires, &used, &t.RevokedBy, &revoked)
	copy(t.ID[:], hash)
	t.ExpiresAt, t.LastUsedAt, t.RevokedAt = pg.TimeOrNil(expires), pg.TimeOrNil(used), pg.TimeOrNil(revoked)
	return err
}

const useTokenQuery = `
UPDATE tokens SET last_used_at = $2 WHERE sha256 = $1 AND (last_used_at IS NULL OR last_used_at < $3)`

// UseToken writes down that a token was used, unless that was written since.
func (s *Store) UseToken(ctx context.Context, hash [32]byte, at, since time.Time) error {
	_, err := s.exec(ctx, useTokenQuery, hash[:], at, since)
	return pg.Wrap(err, "note the use of a token")
}

const revokeTokenQuery = `
UPDATE tokens SET revoked_by = $3, revoked_at = clock_timestamp()
WHERE community = $1 AND name = $2 AND revoked_at IS NULL`

// RevokeToken ends a token for good.
func (s *Store) RevokeToken(ctx context.Context, community, name, by string) error {
	revoked, err := s.exec(ctx, revokeTokenQuery, community, name, by)
	if err == nil && revoked == 0 {
		return ErrTokenNotFound
	}
	return pg.Wrap(err, "revoke a token")
}
