// Package access decides who may do what: accounts with roles, sign-in and
// sessions of the console, bearer tokens of the read API, and the audit trail
// of what they did.
package access

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
)

// The vocabulary of accounts.
type (
	Role    = admin.Role
	Account = admin.Account
)

const (
	Viewer = admin.Viewer
	Admin  = admin.Admin
)

// Errors of accounts that a caller can tell apart.
var (
	ErrNoAccount     = postgres.ErrAccountNotFound
	ErrAccountExists = postgres.ErrAccountExists
	ErrAccountName   = errors.New("a name has 1 to 64 letters, digits, dots, dashes, underscores or @")
	ErrRole          = errors.New("a role is viewer or admin")
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

var accountName = regexp.MustCompile(`^[\pL\pN._@-]{1,64}$`)

// Add adds an account.
func (s *Accounts) Add(ctx context.Context, name string, role Role, password string) (Account, error) {
	if !accountName.MatchString(name) {
		return Account{}, ErrAccountName
	}
	if role != Viewer && role != Admin {
		return Account{}, ErrRole
	}
	hash, err := s.newHash(ctx, name, password)
	if err != nil {
		return Account{}, err
	}
	a := Account{Name: name, PasswordHash: hash, Role: role, CreatedAt: s.now().UTC()}
	if err := s.store.AddAccount(ctx, a); err != nil {
		return Account{}, err
	}
	return a, nil
}

// List returns all accounts by name.
func (s *Accounts) List(ctx context.Context) ([]Account, error) {
	all, err := s.store.ListAccounts(ctx)
	return append([]Account{}, all...), err
}

// Find returns an account.
func (s *Accounts) Find(ctx context.Context, name string) (Account, error) {
	return s.store.FindAccount(ctx, name)
}

// AccountChange is what is to change of an account; nil leaves it as it is.
type AccountChange struct {
	Role     *Role
	Disabled *bool
	Password *string
}

// Set changes an account. With a new password, or disabled, it is signed out
// everywhere.
func (s *Accounts) Set(ctx context.Context, name string, c AccountChange) (Account, error) {
	change := postgres.AccountChange{Disabled: c.Disabled, Role: c.Role}
	if c.Role != nil && *c.Role != Viewer && *c.Role != Admin {
		return Account{}, ErrRole
	}
	if c.Password != nil {
		hash, err := s.newHash(ctx, name, *c.Password)
		if err != nil {
			return Account{}, err
		}
		change.PasswordHash = &hash
	}
	if err := s.store.SetAccount(ctx, name, change); err != nil {
		return Account{}, err
	}
	return s.Find(ctx, name)
}

// newHash checks a password that an account is to get.
func (s *Accounts) newHash(ctx context.Context, account, password string) (string, error) {
	words, err := s.words(ctx, account)
	if err != nil {
		return "", err
	}
	if err := checkPassword(password, words); err != nil {
		return "", err
	}
	return s.hashPassword(ctx, password)
}

// LimitedError: too many sign-ins failed.
type LimitedError struct{ RetryAfter time.Duration }

func (e *LimitedError) Error() string {
	return fmt.Sprintf("too many sign-ins failed, try again in %s", e.RetryAfter.Round(time.Second))
}
