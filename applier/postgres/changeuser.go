package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// AddUser adds one user. It returns ErrUserExists if the email or username is
// somebody's.
func (s *Store) AddUser(ctx context.Context, community string, u NewUser) (delivery.ID, error) {
	n := &person{
		id: delivery.NewID(), email: u.Email, emailKey: applier.FoldKey(u.Email),
		username: u.Username, usernameKey: applier.FoldKey(u.Username),
	}
	ids, columns := userColumns([]*person{n})
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		return execAll(ctx, tx, 1, insertUsersQuery, ids, community, columns[0], columns[1], columns[2], columns[3])
	})
	if errors.Is(err, errRaced) {
		return delivery.ID{}, ErrUserExists
	}
	if err != nil {
		return delivery.ID{}, fmt.Errorf("add a user: %w", err)
	}
	return n.id, nil
}

const changeUserQuery = `
UPDATE users
SET email = CASE WHEN $2 THEN $3 ELSE email END, email_key = CASE WHEN $2 THEN $4 ELSE email_key END,
    username = CASE WHEN $5 THEN $6 ELSE username END, username_key = CASE WHEN $5 THEN $7 ELSE username_key END
WHERE id = $1`

// ErrUserNameless: a user has an email or a username.
var ErrUserNameless = errors.New("a user needs an email or a username")

// ChangeUser gives a user another email or username; nil leaves it, the empty
// text takes it away. It returns ErrUserExists if one is another user's.
func (s *Store) ChangeUser(ctx context.Context, id delivery.ID, email, username *string) error {
	args := []any{id.String()}
	for _, text := range []*string{email, username} {
		args = append(args, text != nil, nil, nil)
		if text != nil && *text != "" {
			args[len(args)-2], args[len(args)-1] = *text, applier.FoldKey(*text)
		}
	}
	err := s.inTx(ctx, func(tx *sqlx.Tx) error { return execAll(ctx, tx, 1, changeUserQuery, args...) })
	switch pqErr := pq.As(err); {
	case err == nil:
		return nil
	case errors.Is(err, errRaced): // no row has the id
		return ErrUserNotFound
	case pqErr != nil && pqErr.Code == "23505": // unique violation
		return ErrUserExists
	case pqErr != nil && pqErr.Code == "23514": // check violation
		return ErrUserNameless
	}
	return fmt.Errorf("change a user: %w", err)
}
