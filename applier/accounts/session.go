package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
)

// How long a session lasts.
const (
	Idle    = 12 * time.Hour     // without a request
	Longest = 7 * 24 * time.Hour // whatever happens
)

// So many sign-ins may fail within the window.
const (
	attemptWindow     = 15 * time.Minute
	attemptsByName    = 10
	attemptsByAddress = 30
)

// usedEvery is how often a session's use is written down.
const usedEvery = time.Minute

var (
	// ErrWrong: there is no such account, or the password is another one, or the
	// account is disabled. Which of them is nobody's business.
	ErrWrong = errors.New("the name or the password is wrong")
	// ErrSignedOut: the session has ended.
	ErrSignedOut = postgres.ErrNoSession
)

// Session is somebody who is signed in.
type Session struct {
	Account string
	Role    Role
}

// MayChange reports whether the session may do more than look.
func (s Session) MayChange() bool { return s.Role == Admin }

// SignIn returns the token of a new session. The error may be ErrWrong or a
// *LimitedError.
func (s *Service) SignIn(ctx context.Context, name, password, address string) (token string, err error) {
	if !nameForm.MatchString(name) {
		name = "" // no account has it, and whatever it is need not be kept
	}
	now := s.now()
	limits := []postgres.AttemptLimit{{Key: "name " + name, Most: attemptsByName}, {Key: "address " + network(address), Most: attemptsByAddress}}
	ok, first, err := s.store.TryAttempt(ctx, limits, now.Add(-attemptWindow), now)
	if err != nil {
		return "", err
	}
	if !ok {
		// The attempt may have begun before the first one that was counted.
		return "", &LimitedError{RetryAfter: min(max(first.Add(attemptWindow).Sub(now), time.Second), attemptWindow)}
	}
	admin, err := s.store.FindAdmin(ctx, name)
	unknown := errors.Is(err, ErrNotFound)
	if unknown {
		admin.Password = unknownHash
	} else if err != nil {
		return "", err
	}
	right, err := isPassword(password, admin.Password)
	if err != nil {
		return "", err
	}
	if !right || unknown || admin.Disabled {
		return "", ErrWrong
	}
	token = newToken()
	err = s.store.AddSession(ctx, hashToken(token), admin, [2]string{limits[0].Key, limits[1].Key}, now, now.Add(-Longest), now.Add(-Idle))
	if errors.Is(err, postgres.ErrNoSession) {
		return "", ErrWrong
	}
	return token, err
}

// network is the address itself, or of IPv6 the network that one household has:
// whoever has one of its addresses has all of them.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}

// Session returns whose session it is, or ErrSignedOut, and counts as use.
func (s *Service) Session(ctx context.Context, token string) (Session, error) {
	found, err := s.find(ctx, token)
	if err != nil {
		return Session{}, err
	}
	if now := s.now(); now.Sub(found.UsedAt) > usedEvery {
		if err := s.store.UseSession(ctx, hashToken(token), now); err != nil {
			return Session{}, err
		}
	}
	return Session{Account: found.Admin, Role: Role(found.Role)}, nil
}

// Look is Session, and does not count as use: what pages ask by themselves must not
// keep a session that nobody uses.
func (s *Service) Look(ctx context.Context, token string) (Session, error) {
	found, err := s.find(ctx, token)
	return Session{Account: found.Admin, Role: Role(found.Role)}, err
}

func (s *Service) find(ctx context.Context, token string) (postgres.Session, error) {
	if token == "" {
		return postgres.Session{}, ErrSignedOut
	}
	now := s.now()
	return s.store.FindSession(ctx, hashToken(token), now.Add(-Longest), now.Add(-Idle))
}

// SignOut ends a session.
func (s *Service) SignOut(ctx context.Context, token string) error {
	return s.store.EndSession(ctx, hashToken(token))
}

func newToken() string {
	random := make([]byte, 32)
	rand.Read(random) //nolint:errcheck // documented never to fail
	return base64.RawURLEncoding.EncodeToString(random)
}

// hashToken: a token is random enough to need no salt.
func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
