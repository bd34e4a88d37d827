package api

import (
	"context"
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits bounds how often each token asks. There are never more than tokens that
// work.
type limits struct {
	perSecond, burst int
	byToken          sync.Map // a *rate.Limiter by the token's id
}

func (l *limits) allow(token [32]byte) bool {
	limiter, _ := l.byToken.LoadOrStore(token, rate.NewLimiter(rate.Limit(l.perSecond), l.burst))
	return limiter.(*rate.Limiter).Allow()
}

// knows reports whether a token has asked before and was right.
func (l *limits) knows(token [32]byte) bool {
	_, ok := l.byToken.Load(token)
	return ok
}

// forget: the token works no longer.
func (l *limits) forget(token [32]byte) { l.byToken.Delete(token) }

// strangers bounds the tokens that a network may have looked up in vain. Tokens that
// worked before are not held up by it.
type strangers struct {
	now func() time.Time

	mu        sync.Mutex
	byNetwork map[string]*rate.Limiter
	rest      *rate.Limiter // of those that find no place in the map
}

const (
	strangersPerSecond = 1
	strangersBurst     = 30
	strangersNetworks  = 10_000
)

func newStrangers(now func() time.Time) *strangers {
	return &strangers{now: now, byNetwork: map[string]*rate.Limiter{}, rest: rate.NewLimiter(strangersPerSecond, strangersBurst)}
}

// mayTry reports whether one more unknown token of a network is looked up.
func (s *strangers) mayTry(network string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.byNetwork[network]
	if l == nil && len(s.byNetwork) >= strangersNetworks {
		l = s.rest
	}
	return l == nil || l.TokensAt(s.now()) >= 1
}

// failed counts a token that was looked up in vain.
func (s *strangers) failed(network string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	l := s.byNetwork[network]
	if l == nil && len(s.byNetwork) >= strangersNetworks {
		maps.DeleteFunc(s.byNetwork, func(_ string, l *rate.Limiter) bool { return l.TokensAt(now) >= strangersBurst })
	}
	switch {
	case l == nil && len(s.byNetwork) >= strangersNetworks:
		l = s.rest
	case l == nil:
		l = rate.NewLimiter(strangersPerSecond, strangersBurst)
		s.byNetwork[network] = l
	}
	l.AllowN(now, 1)
}

// searches are places for requests that read all users of a community: the pages of the
// console share the connections to PostgreSQL with them.
type searches chan struct{}

const (
	searchPlaces = 2
	searchWait   = time.Second
)

// take waits a moment for a place.
func (s searches) take(ctx context.Context) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, searchWait)
	defer cancel()
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, errSearching
	}
}
