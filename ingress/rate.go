package ingress

import (
	"sync"
	"time"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// rates remember the bucket of each webhook with a rate. Only webhooks that exist are in
// it.
type rates struct {
	mu      sync.Mutex
	buckets map[string]bucket
}

// bucket is what a webhook has used of its rate.
type bucket struct {
	rate webhook.Rate
	full time.Time // when it will be full again
}

// take takes a token. It returns how long to wait for the next one, or 0. A rate that was
// changed begins with a full bucket: an hour's wait of the rate before must not outlast it.
func (r *rates) take(id string, rate webhook.Rate, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.buckets[id]
	if b.rate != rate || b.full.Before(now) {
		b = bucket{rate: rate, full: now}
	}
	if wait := b.full.Sub(now) - time.Duration(rate.Burst-1)*rate.Every; wait > 0 {
		return wait
	}
	if r.buckets == nil {
		r.buckets = map[string]bucket{}
	}
	b.full = b.full.Add(rate.Every)
	r.buckets[id] = b
	return 0
}
