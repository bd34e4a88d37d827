package postgres

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const userNamesQuery = `
SELECT id, coalesce(email, ''), coalesce(username, '') FROM users WHERE id = ANY ($1::uuid[])`

// UserNames names users by their ids.
func (s *Store) UserNames(ctx context.Context, ids []delivery.ID) (map[delivery.ID]admin.User, error) {
	users, err := pg.Map(ctx, s.db, userNamesQuery, func(scan pg.Scan, id *delivery.ID, u *admin.User) error {
		err := scan((*pg.ID)(id), &u.Email, &u.Username)
		u.ID = *id
		return err
	}, pg.IDs(ids))
	return users, pg.Wrap(err, "look up users")
}
