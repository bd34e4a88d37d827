package users

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Profile is a user in the form that programs read. Balances are exact text.
type Profile struct {
	ID        delivery.ID       `json:"id"`
	Community string            `json:"community"`
	Email     *string           `json:"email"`
	Username  *string           `json:"username"`
	External  map[string]string `json:"external"` // by kind
	Balances  map[string]string `json:"balances"`
	Fields    map[string]string `json:"fields"`
	CreatedAt time.Time         `json:"created_at"`
}

// Filter narrows a list of users; zero values do not.
type Filter = postgres.UserFilter

// Profile returns a user by id, or by email or username within a community.
func (s *Service) Profile(ctx context.Context, community, ref string) (Profile, error) {
	found, err := s.store.FindUser(ctx, community, ref)
	return s.profile(ctx, found, err)
}

// ProfileIn is Profile within one community. It does not find ids of others.
func (s *Service) ProfileIn(ctx context.Context, community, ref string) (Profile, error) {
	found, err := s.findIn(ctx, community, ref)
	return s.profile(ctx, found, err)
}

func (s *Service) findIn(ctx context.Context, community, ref string) (User, error) {
	found, err := s.store.FindUser(ctx, community, ref)
	if err == nil && found.Community != community {
		return User{}, ErrNotFound
	}
	return found, err
}

func (s *Service) profile(ctx context.Context, found User, err error) (Profile, error) {
	if err != nil {
		return Profile{}, err
	}
	list, err := s.profiles(ctx, []User{found})
	if err != nil {
		return Profile{}, err
	}
	return list[0], nil
}

// List returns users, newest first or by email.
func (s *Service) List(ctx context.Context, f Filter) ([]Profile, error) {
	found, err := s.store.ListUsers(ctx, f)
	if err != nil {
		return nil, err
	}
	return s.profiles(ctx, found)
}

func (s *Service) profiles(ctx context.Context, found []User) ([]Profile, error) {
	list := make([]Profile, len(found))
	for i, u := range found {
		community, err := s.store.Community(ctx, u.Community)
		if err != nil {
			return nil, err
		}
		list[i] = Profile{
			ID: u.ID, Community: u.Community, Email: admin.OrNil(u.Email), Username: admin.OrNil(u.Username), External: u.External,
			Balances: balances(u, community), Fields: u.Fields, CreatedAt: u.CreatedAt.UTC(),
		}
	}
	return list, nil
}

// balances are those that the user has, and zero for the other currencies of the
// community.
func balances(u User, community *applier.Community) map[string]string {
	all := map[string]string{}
	for _, c := range applier.BuiltinCurrencies() {
		all[c.Code] = c.Format(0)
	}
	for code, c := range community.Currencies {
		all[code] = c.Format(0)
	}
	for code, amount := range u.Balances {
		c, _ := community.Currency(code)
		all[code] = c.Format(amount)
	}
	return all
}
