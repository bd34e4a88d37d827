package users

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// allow returns an error unless who asks has a right in a community. Users of communities
// that nobody may see do not exist.
func allow(ctx context.Context, community string, right admin.Right) error {
	if !admin.Sees(ctx, community) {
		return ErrNotFound
	}
	return admin.Allow(ctx, community, right)
}

// allowUser is allow for the community of a user.
func (s *Service) allowUser(ctx context.Context, id delivery.ID, right admin.Right) error {
	if admin.Allow(ctx, admin.Everywhere, right) == nil {
		return nil
	}
	u, err := s.store.FindUser(ctx, "", id.String()) // which sees what it may
	if err != nil {
		return err
	}
	return admin.Allow(ctx, u.Community, right)
}
