package postgres

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// LookUp returns the user that a payload names, with balances, as they are now:
// nothing is locked. It returns ErrUserNotFound where there is none.
func (s *Store) LookUp(ctx context.Context, community string, ref applier.UserRef) (User, error) {
	where, args := whereUser(ref)
	users, err := s.queryUsers(ctx, selectUser+` WHERE u.community = $1 AND `+where, append([]any{community}, args...)...)
	if err != nil {
		return User{}, fmt.Errorf("look up a user: %w", err)
	}
	if len(users) == 0 {
		return User{}, ErrUserNotFound
	}
	return users[0], nil
}

const userNamesQuery = `
SELECT id, coalesce(email, ''), coalesce(username, '') FROM users WHERE id = ANY ($1::uuid[])`

// UserNames names users by their ids.
func (s *Store) UserNames(ctx context.Context, ids []delivery.ID) (map[delivery.ID]admin.User, error) {
	var column array
	for _, id := range ids {
		column.id(id)
	}
	users := make(map[delivery.ID]admin.User, len(ids))
	err := each(ctx, s.db, userNamesQuery, func(scan scanner) error {
		var id idScanner
		var u admin.User
		if err := scan(&id, &u.Email, &u.Username); err != nil {
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

// whereUser is the condition on a user of the community $1, with what follows $1.
func whereUser(ref applier.UserRef) (where string, args []any) {
	if kind, ok := ref.By.ExternalKind(); ok {
		return `u.id = (SELECT x.user_id FROM external_ids x WHERE x.community = $1 AND x.kind = $2 AND x.value = $3)`, []any{kind, cleanText(ref.Key())}
	}
	switch ref.By {
	case webhook.ByID:
		return `u.id::text = $2 AND u.erased_at IS NULL`, []any{ref.Key()}
	case webhook.ByUsername:
		return `u.username_key = $2`, []any{cleanText(ref.Key())}
	}
	return `u.email_key = $2`, []any{cleanText(ref.Key())}
}
