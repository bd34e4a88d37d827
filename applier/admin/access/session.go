package access

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/proxies"
)

// How long a session lasts.
const (
	Idle    = 12 * time.Hour     // without a request
	Longest = 7 * 24 * time.Hour // whatever happens
)

// This many sign-ins may fail within the window. The last limit is for all networks
// together, except those from which the account signed in lately. These count
// separately, so strangers cannot lock an account out of its own network.
const (
	attemptWindow            = 15 * time.Minute
	attemptsByNameAndNetwork = 10
	attemptsByNetwork        = 30
	attemptsByName           = 50
)

// knownFor is how long a network is known after a sign-in from there.
const knownFor = 90 * 24 * time.Hour

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
	// Grants are those of the account, as they are now.
	Grants admin.Grants
}

// SignIn returns the token of a new session, and ends the one that the browser had.
// The error may be ErrWrong, ErrBusy or a *LimitedError.
func (s *Accounts) SignIn(ctx context.Context, name, password, address, had string) (token string, err error) {
	in, err := s.verify(ctx, name, password, address)
	if err != nil {
		return "", err
	}
	if had != "" {
		in.Ends = hashToken(had)
	}
	token = newToken()
	in.Token = hashToken(token)
	return token, s.signedIn(s.store.AddSession(ctx, in))
}

// ChangePassword gives an account another password, with the one it has. All its
// sessions end, and the token is of a new one. The error may be ErrWrong, ErrBusy,
// ErrWeakPassword or a *LimitedError.
func (s *Accounts) ChangePassword(ctx context.Context, account, old, password, address string) (token string, err error) {
	if err := s.checkNew(ctx, account, password); err != nil {
		return "", err
	}
	if old == password {
		return "", weak("it is the one you have")
	}
	in, err := s.verify(ctx, account, old, address)
	if err != nil {
		return "", err
	}
	hash, err := s.hashPassword(ctx, password)
	if err != nil {
		return "", err
	}
	token = newToken()
	in.Token = hashToken(token)
	return token, s.signedIn(s.store.ChangePassword(ctx, in, hash))
}

// signedIn: the account may have changed after its password was found right.
func (s *Accounts) signedIn(err error) error {
	if errors.Is(err, postgres.ErrNoSession) {
		return ErrWrong
	}
	return err
}

// verify finds an account by its name and password.
func (s *Accounts) verify(ctx context.Context, name, password, address string) (in postgres.NewSession, err error) {
	if !isAccountName(name) {
		name = "" // no account has such a name, so it is not stored
	}
	now, from := s.now(), proxies.Network(address)
	known, err := s.store.KnowsNetwork(ctx, name, from, now.Add(-knownFor))
	if err != nil {
		return in, err
	}
	door := s.strangers
	limits := []postgres.AttemptLimit{
		{Key: "name and network " + name + " " + from, Most: attemptsByNameAndNetwork},
		{Key: "network " + from, Most: attemptsByNetwork},
		{Key: "name " + name, Most: attemptsByName},
	}
	if known { // the network's strangers do not use up what its known accounts have
		door, limits = s.trusted, limits[:2]
		limits[1].Key = "known from " + from
	}
	leave, err := door.queue()
	if err != nil {
		return in, err
	}
	defer leave()
	if err := s.tryAttempt(ctx, limits, now); err != nil {
		return in, err
	}
	account, err := s.store.FindAccount(ctx, name)
	unknown := errors.Is(err, ErrNoAccount)
	if unknown {
		account.PasswordHash = unknownHash
	} else if err != nil {
		return in, err
	}
	done, err := door.wait(ctx)
	if err != nil {
		return in, err
	}
	right, err := isPassword(password, account.PasswordHash)
	done()
	switch {
	case err != nil:
		return in, err
	case !right || unknown || account.Disabled:
		return in, ErrWrong
	}
	in = postgres.NewSession{Account: account, Address: address, Network: from, Forgiven: limits[0].Key, At: now, MadeAfter: now.Add(-Longest), UsedAfter: now.Add(-Idle), KnownAfter: now.Add(-knownFor)}
	for _, l := range limits[1:] {
		in.Counted = append(in.Counted, l.Key)
	}
	return in, nil
}

func (s *Accounts) tryAttempt(ctx context.Context, limits []postgres.AttemptLimit, now time.Time) error {
	ok, first, err := s.store.TryAttempt(ctx, limits, now.Add(-attemptWindow), now)
	if err == nil && !ok {
		// The attempt may have begun before the first one that was counted.
		err = &LimitedError{RetryAfter: min(max(first.Add(attemptWindow).Sub(now), time.Second), attemptWindow)}
	}
	return err
}

// Session returns whose session it is, or ErrSignedOut, and counts as use.
func (s *Accounts) Session(ctx context.Context, token string) (Session, error) {
	found, err := s.find(ctx, token)
	if err != nil {
		return Session{}, err
	}
	if now := s.now(); now.Sub(found.UsedAt) > usedEvery {
		if err := s.store.UseSession(ctx, hashToken(token), now); err != nil {
			return Session{}, err
		}
	}
	return Session{Account: found.Admin, Grants: found.Grants}, nil
}

// Look is Session, but does not count as use: requests that pages send by
// themselves must not keep an unused session alive.
func (s *Accounts) Look(ctx context.Context, token string) (Session, error) {
	found, err := s.find(ctx, token)
	return Session{Account: found.Admin, Grants: found.Grants}, err
}

func (s *Accounts) find(ctx context.Context, token string) (postgres.Session, error) {
	if token == "" {
		return postgres.Session{}, ErrSignedOut
	}
	now := s.now()
	return s.store.FindSession(ctx, hashToken(token), now.Add(-Longest), now.Add(-Idle))
}

// SignOut ends a session.
func (s *Accounts) SignOut(ctx context.Context, token string) error {
	return s.store.EndSession(ctx, hashToken(token))
}

// Sessions are those of an account, the one that was used last first. IsThis marks the
// one with the token.
func (s *Accounts) Sessions(ctx context.Context, account, token string) ([]OpenSession, error) {
	now := s.now()
	all, err := s.store.ListSessions(ctx, account, now.Add(-Longest), now.Add(-Idle))
	open := make([]OpenSession, len(all))
	for i, one := range all {
		open[i] = OpenSession{Session: one, IsThis: token != "" && bytes.Equal(one.ID[:], hashToken(token))}
	}
	return open, err
}

// OpenSession is one of an account's.
type OpenSession struct {
	admin.Session
	IsThis bool
}

// EndSession ends one session of an account.
func (s *Accounts) EndSession(ctx context.Context, account string, id [sha256.Size]byte) error {
	return s.store.EndSessionOf(ctx, account, id)
}

// SignOutEverywhere ends all sessions of an account.
func (s *Accounts) SignOutEverywhere(ctx context.Context, account string) error {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return err
	}
	return s.store.EndSessions(ctx, account)
}

// newToken is 256 random bits in base64url.
func newToken() string {
	random := make([]byte, 32)
	rand.Read(random) // documented never to fail
	return base64.RawURLEncoding.EncodeToString(random)
}

// hashToken: a token is random enough to need no salt.
func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
