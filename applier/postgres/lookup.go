package postgres

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// LookUp returns the user that a payload names, with balances, as they are now:
// nothing is locked. It returns ErrUserNotFound where there is none.
func (s *Store) LookUp(ctx context.Context, community string, ref applier.UserRef) (User, error) {
	query := selectUser + ` WHERE u.community = $1 AND u.email_key = $2`
	if ref.By == webhook.ByUsername {
		query = selectUser + ` WHERE u.community = $1 AND u.username_key = $2`
	}
	users, err := s.queryUsers(ctx, query, community, applier.FoldKey(ref.Value))
	if err != nil {
		return User{}, fmt.Errorf("look up a user: %w", err)
	}
	if len(users) == 0 {
		return User{}, ErrUserNotFound
	}
	return users[0], nil
}

const userNamesQuery = `
SELECT id, community, coalesce(email, ''), coalesce(username, '') FROM users WHERE id = ANY ($1::uuid[])`

// UserNames returns users by their ids, without balances.
func (s *Store) UserNames(ctx context.Context, ids []delivery.ID) (map[delivery.ID]User, error) {
	var column array
	for _, id := range ids {
		column.id(id)
	}
	users := make(map[delivery.ID]User, len(ids))
	err := each(ctx, s.db, userNamesQuery, func(scan scanner) error {
		var id idScanner
		var u User
		if err := scan(&id, &u.Community, &u.Email, &u.Username); err != nil {
			return err
		}
		u.ID = delivery.ID(id)
		users[u.ID] = u
		return nil
	}, column.String())
	if err != nil {
		return nil, fmt.Errorf("look up users: %w", err)
	}
	return users, nil
}
