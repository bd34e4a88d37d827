// Package access decides who may do what: accounts with roles, sign-in and
// sessions of the console, bearer tokens of the read API, and the audit trail
// of what they did.
package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Errors of accounts that a caller can tell apart.
var (
	ErrNoAccount     = postgres.ErrAccountNotFound
	ErrAccountExists = postgres.ErrAccountExists
	ErrAccountName   = errors.New("a name has 1 to 64 letters, digits, dots, dashes, underscores or @")
	ErrLastOwner     = postgres.ErrLastOwner
	ErrGrants        = errors.New("an account is an owner, or has a role in one community or more: to take away its last role, disable it")
)

// Accounts adds, changes and signs in accounts.
type Accounts struct {
	store *postgres.Store
	now   func() time.Time
	// A flood of sign-ins from strange networks leaves a lane to those who are known.
	strangers, trusted *gate
}

// NewAccounts returns the accounts in a database.
func NewAccounts(store *postgres.Store, now func() time.Time) *Accounts {
	return &Accounts{store: store, now: now, strangers: newGate(), trusted: newGate()}
}

var accountName = regexp.MustCompile(`^[\pL\pN._@-]+$`)

// maxName bounds names, in characters. Patterns do not: they would hold all letters of
// Unicode 64 times, which takes each program 9 ms and 5 MB as it starts.
const maxName = 64

func isAccountName(name string) bool {
	return utf8.RuneCountInString(name) <= maxName && accountName.MatchString(name)
}

// checkGrants refuses rights that no account can have.
func checkGrants(grants admin.Grants) error {
	if len(grants) == 0 || grants.IsOwner() && len(grants) > 1 {
		return ErrGrants
	}
	for community, right := range grants {
		if community != admin.Everywhere && !webhook.IsCommunity(community) {
			return fmt.Errorf("%w: there is no community %q", ErrGrants, community)
		}
		if right == admin.NoRight || right > admin.AdminOf && community != admin.Everywhere || right > admin.Owner {
			return fmt.Errorf("%w: %s is not a role in %s", ErrGrants, right, community)
		}
	}
	return nil
}

// Add adds an account. It is for owners, as all of List, Set and SignOutEverywhere.
func (s *Accounts) Add(ctx context.Context, name string, grants admin.Grants, password string) (admin.Account, error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return admin.Account{}, err
	}
	if !isAccountName(name) {
		return admin.Account{}, ErrAccountName
	}
	if err := checkGrants(grants); err != nil {
		return admin.Account{}, err
	}
	hash, err := s.newHash(ctx, name, password)
	if err != nil {
		return admin.Account{}, err
	}
	if err := s.store.AddAccount(ctx, admin.Account{Name: name, PasswordHash: hash, Grants: grants, CreatedAt: s.now().UTC()}); err != nil {
		return admin.Account{}, err
	}
	return s.Find(ctx, name)
}

// List returns all accounts by name.
func (s *Accounts) List(ctx context.Context) ([]admin.Account, error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return nil, err
	}
	return s.store.ListAccounts(ctx)
}

// Find returns an account.
func (s *Accounts) Find(ctx context.Context, name string) (admin.Account, error) {
	return s.store.FindAccount(ctx, name)
}

// Give says which right an account gets.
type Give struct {
	// Right is NoRight to take a right away.
	Right admin.Right
	// In are the communities; nil are all. An owner is one in all.
	In []string
}

// Over returns the new grants of an account that has these grants. A right in
// all communities, or that of an owner, replaces all others.
func (g Give) Over(now admin.Grants) (admin.Grants, error) {
	grants := admin.Grants{}
	if g.In == nil {
		grants[admin.Everywhere] = g.Right
	} else if !now.IsOwner() {
		maps.Copy(grants, now)
	}
	for _, community := range g.In {
		grants[community] = g.Right
		if g.Right == admin.NoRight {
			delete(grants, community)
		}
	}
	return grants, checkGrants(grants)
}

// AccountChange says what to change in an account; nil leaves a part as it is.
type AccountChange struct {
	Give     *Give
	Disabled *bool
	Password *string
}

// Set changes an account. With a new password, or disabled, it is signed out
// everywhere. The only owner who can sign in stays one: ErrLastOwner.
func (s *Accounts) Set(ctx context.Context, name string, c AccountChange) (admin.Account, error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return admin.Account{}, err
	}
	change := postgres.AccountChange{Disabled: c.Disabled}
	if c.Give != nil {
		change.Grants = c.Give.Over
	}
	if c.Password != nil {
		hash, err := s.newHash(ctx, name, *c.Password)
		if err != nil {
			return admin.Account{}, err
		}
		change.PasswordHash = &hash
	}
	if err := s.store.SetAccount(ctx, name, change); err != nil {
		return admin.Account{}, err
	}
	return s.Find(ctx, name)
}

// newHash checks a password that an account is to get.
func (s *Accounts) newHash(ctx context.Context, account, password string) (string, error) {
	if err := s.checkNew(ctx, account, password); err != nil {
		return "", err
	}
	return s.hashPassword(ctx, password)
}

// LimitedError: too many sign-ins failed.
type LimitedError struct{ RetryAfter time.Duration }

func (e *LimitedError) Error() string {
	return fmt.Sprintf("too many sign-ins failed, try again in %s", e.RetryAfter.Round(time.Second))
}
