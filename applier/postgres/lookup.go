package postgres

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/applier"
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
