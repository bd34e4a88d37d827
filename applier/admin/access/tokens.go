package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
)

const (
	tokenPrefix = "cht_"
	tokenLength = len(tokenPrefix) + 43 // of 256 bits in base64url

	// noteUseEvery is how often the use of a token is written down at most.
	noteUseEvery = time.Minute
)

var (
	// ErrNoToken: there is no such token, or it is revoked.
	ErrNoToken = postgres.ErrTokenNotFound
	// ErrTokenExists: another token of the community has the name.
	ErrTokenExists = postgres.ErrTokenExists
	// ErrTokenInvalid: this text lets nobody in. The caller is not told why.
	ErrTokenInvalid = errors.New("the token is not valid")
)

// Tokens makes, lists, revokes and checks the bearer tokens of the read API.
type Tokens struct {
	store *postgres.Store
	now   func() time.Time
}

// NewTokens returns the tokens in a database.
func NewTokens(store *postgres.Store, now func() time.Time) *Tokens {
	return &Tokens{store: store, now: now}
}

var tokenName = regexp.MustCompile(`^[\pL\pN][\pL\pN ._@:-]*$`)

// CheckTokenName says what is wrong with a name.
func CheckTokenName(name string) error {
	if utf8.RuneCountInString(name) > maxName || !tokenName.MatchString(name) || strings.TrimSpace(name) != name {
		return fmt.Errorf("a token's name is 1 to 64 letters, digits, spaces and . _ @ : -, starting with a letter or digit, not %q", name)
	}
	return nil
}

// Add makes a token of a community, which never expires if it is to last for 0.
// The text is to be shown once: only its hash is kept.
func (s *Tokens) Add(ctx context.Context, community, name string, lasts time.Duration, by string) (text string, t admin.Token, err error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return "", admin.Token{}, err
	}
	if err := CheckTokenName(name); err != nil {
		return "", admin.Token{}, err
	}
	text = tokenPrefix + newToken()
	t = admin.Token{ID: TokenID(text), Community: community, Name: name, CreatedBy: by}
	if lasts > 0 {
		t.ExpiresAt = new(s.now().Add(lasts).Truncate(time.Microsecond).UTC()) // as the database keeps it
	}
	if t.CreatedAt, err = s.store.AddToken(ctx, t); err != nil {
		return "", admin.Token{}, err
	}
	t.State = s.state(t)
	return text, t, nil
}

// List returns the tokens of a community, or all if it is empty, newest first.
func (s *Tokens) List(ctx context.Context, community string) ([]admin.Token, error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return nil, err
	}
	list, err := s.store.ListTokens(ctx, community)
	for i := range list {
		list[i].State = s.state(list[i])
	}
	return list, err
}

// Revoke ends a token for good. Its name is free again.
func (s *Tokens) Revoke(ctx context.Context, community, name, by string) error {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return err
	}
	return s.store.RevokeToken(ctx, community, name, by)
}

// TokenID returns the ID of the token that has this text.
func TokenID(text string) [sha256.Size]byte { return sha256.Sum256([]byte(text)) }

// Authenticate returns the token with this text if it works. Otherwise it returns
// ErrTokenInvalid, together with the token if it no longer works. It is looked up by its
// hash, so the time this takes reveals nothing about other tokens.
func (s *Tokens) Authenticate(ctx context.Context, text string) (admin.Token, error) {
	if len(text) != tokenLength || !strings.HasPrefix(text, tokenPrefix) {
		return admin.Token{}, ErrTokenInvalid
	}
	t, err := s.store.FindToken(ctx, TokenID(text))
	if errors.Is(err, postgres.ErrTokenNotFound) {
		return admin.Token{}, ErrTokenInvalid
	}
	if err != nil {
		return admin.Token{}, err
	}
	if t.State = s.state(t); t.State != admin.TokenActive {
		return t, ErrTokenInvalid
	}
	now := s.now()
	if since := now.Add(-noteUseEvery); t.LastUsedAt == nil || t.LastUsedAt.Before(since) {
		if err := s.store.UseToken(ctx, t.ID, now, since); err != nil {
			return admin.Token{}, err
		}
	}
	return t, nil
}

func (s *Tokens) state(t admin.Token) admin.TokenState {
	switch {
	case t.RevokedAt != nil:
		return admin.TokenRevoked
	case t.ExpiresAt != nil && !s.now().Before(*t.ExpiresAt):
		return admin.TokenExpired
	}
	return admin.TokenActive
}
