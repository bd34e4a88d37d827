package api

import (
	"sync"

	"golang.org/x/time/rate"
)

// limits bounds how often each token asks. There are never more than tokens that
// work.
type limits struct {
	mu        *sync.Mutex
	byToken   map[[32]byte]*rate.Limiter
	perSecond rate.Limit
	burst     int
}

func newLimits(perSecond, burst int) limits {
	return limits{mu: &sync.Mutex{}, byToken: map[[32]byte]*rate.Limiter{}, perSecond: rate.Limit(perSecond), burst: burst}
}

func (l limits) allow(token [32]byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.byToken[token]
	if limiter == nil {
		limiter = rate.NewLimiter(l.perSecond, l.burst)
		l.byToken[token] = limiter
	}
	return limiter.Allow()
}
