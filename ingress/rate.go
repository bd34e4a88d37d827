package ingress

import (
	"sync"
	"time"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// rates remember when the bucket of each webhook with a rate will be full again. Only
// webhooks that exist are in it.
type rates struct {
	mu   sync.Mutex
	full map[string]time.Time
}

// take takes a token. It returns how long to wait for the next one, or 0.
func (r *rates) take(id string, rate webhook.Rate, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	full := r.full[id]
	if full.Before(now) {
		full = now
	}
	if wait := full.Sub(now) - time.Duration(rate.Burst-1)*rate.Every; wait > 0 {
		return wait
	}
	if r.full == nil {
		r.full = map[string]time.Time{}
	}
	r.full[id] = full.Add(rate.Every)
	return 0
}
