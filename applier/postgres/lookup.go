package postgres

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const userNamesQuery = `
SELECT id, coalesce(email, ''), coalesce(username, '') FROM users WHERE id = ANY ($1::uuid[])`

// UserNames names users by their ids.
func (s *Store) UserNames(ctx context.Context, ids []delivery.ID) (map[delivery.ID]admin.User, error) {
	var column pg.Array
	for _, id := range ids {
		column.ID(id)
	}
	users := make(map[delivery.ID]admin.User, len(ids))
	err := pg.Each(ctx, s.db, userNamesQuery, func(scan pg.Scan) error {
		var id pg.ID
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
