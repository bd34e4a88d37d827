package users

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// User is somebody whose balances change, and NewUser one that is to be added.
type (
	User    = postgres.User
	NewUser = postgres.NewUser
)

// ErrNotFound: no user has this id, email or username.
var ErrNotFound = postgres.ErrUserNotFound

// Service reads users.
type Service struct{ store *postgres.Store }

// New returns a service.
func New(store *postgres.Store) *Service { return &Service{store: store} }

// Find returns a user by id, or by email or username within a community.
func (s *Service) Find(ctx context.Context, community, ref string) (User, error) {
	return s.store.FindUser(ctx, community, ref)
}

// FindNamed returns the users of these communities, or of all if nil, who have this id,
// email, username or external id, up to a limit.
func (s *Service) FindNamed(ctx context.Context, communities []string, ref string, limit int) ([]User, error) {
	return s.store.FindUsers(ctx, communities, ref, limit)
}

// Near returns names of users of a community that resemble a name that nobody has.
func (s *Service) Near(ctx context.Context, community, ref string, limit int) ([]string, error) {
	return s.store.NearUsers(ctx, community, ref, limit)
}

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
