package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// AddUser adds one user. It returns NameTaken if a name is somebody's.
func (s *Store) AddUser(ctx context.Context, community string, u NewUser) (delivery.ID, error) {
	n := newPerson(delivery.NewID())
	names, texts := u.names()
	for i, name := range names {
		n.now[name.by], n.texts[name.by] = name.key, texts[i]
	}
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		if err := insertUsers(ctx, tx, community, []*person{n}); err != nil {
			return err
		}
		return writeExternal(ctx, tx, community, []*person{n})
	})
	if errors.Is(err, pg.ErrRaced) {
		return delivery.ID{}, s.taken(ctx, community, u, n.id)
	}
	return n.id, pg.Wrap(err, "add a user")
}

const (
	userForChangeQuery = `SELECT community FROM users WHERE id = $1 AND erased_at IS NULL FOR UPDATE`

	changeUserQuery = `
UPDATE users
SET email = CASE WHEN $2 THEN $3 ELSE email END, email_key = CASE WHEN $2 THEN $4 ELSE email_key END,
    username = CASE WHEN $5 THEN $6 ELSE username END, username_key = CASE WHEN $5 THEN $7 ELSE username_key END
WHERE id = $1`

	takeExternalQuery = `DELETE FROM external_ids WHERE user_id = $1 AND kind = $2`
	giveExternalQuery = `INSERT INTO external_ids (community, kind, value, user_id) VALUES ($1, $2, $3, $4)`

	namelessQuery = `
SELECT email IS NULL AND username IS NULL AND NOT EXISTS (SELECT FROM external_ids WHERE user_id = $1) FROM users WHERE id = $1`
)

// ErrUserNameless: a user has a name.
var ErrUserNameless = errors.New("a user needs an email, a username or an external id")

// UserChange says which names a user gets. nil leaves an email or username, and the
// empty text takes a name away.
type UserChange struct {
	Email, Username *string
	External        map[string]string // by kind
}

// ChangeUser gives a user other names. It returns NameTaken if one is another user's.
func (s *Store) ChangeUser(ctx context.Context, id delivery.ID, change UserChange) error {
	var community string
	err := s.inTx(ctx, func(tx *sqlx.Tx) (err error) {
		community, err = changeUser(ctx, tx, id, change)
		return err
	})
	switch pqErr := pq.As(err); {
	case err == nil, errors.Is(err, ErrUserNotFound), errors.Is(err, ErrUserNameless):
		return err
	case pqErr != nil && pqErr.Code == "23505": // unique violation
		return s.taken(ctx, community, change.names(), id)
	}
	return fmt.Errorf("change a user: %w", err)
}

// names are those that the user is to get.
func (c UserChange) names() NewUser {
	u := NewUser{External: c.External}
	if c.Email != nil {
		u.Email = *c.Email
	}
	if c.Username != nil {
		u.Username = *c.Username
	}
	return u
}

// changeUser returns the community of the user, also with the error of a name that is
// taken.
func changeUser(ctx context.Context, tx *sqlx.Tx, id delivery.ID, change UserChange) (community string, err error) {
	err = tx.GetContext(ctx, &community, userForChangeQuery, id.String())
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrUserNotFound
	}
	if err != nil {
		return "", err
	}
	return community, writeChange(ctx, tx, community, id, change)
}

func writeChange(ctx context.Context, tx *sqlx.Tx, community string, id delivery.ID, change UserChange) error {
	args := []any{id.String()}
	for _, text := range []*string{change.Email, change.Username} {
		args = append(args, text != nil, nil, nil)
		if text != nil && *text != "" {
			args[len(args)-2], args[len(args)-1] = *text, applier.FoldKey(*text)
		}
	}
	if err := execAll(ctx, tx, 1, pg.ErrRaced, changeUserQuery, args...); err != nil {
		return err
	}
	for _, kind := range slices.Sorted(maps.Keys(change.External)) {
		if _, err := tx.ExecContext(ctx, takeExternalQuery, id.String(), kind); err != nil {
			return err
		}
		if value := change.External[kind]; value != "" {
			if _, err := tx.ExecContext(ctx, giveExternalQuery, community, kind, value, id.String()); err != nil {
				return err
			}
		}
	}
	return refuseIf(ctx, tx, ErrUserNameless, namelessQuery, id.String())
}
