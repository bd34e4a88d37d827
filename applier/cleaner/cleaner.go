// Package cleaner deletes what is kept for a time only.
package cleaner

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

const (
	// every is how often it looks; each applier does.
	every = time.Minute
	// chunk is how many rows one transaction deletes, and pause what lies between
	// two: deleting makes way for settling.
	chunk = 500
	pause = 100 * time.Millisecond
)

// Store deletes idempotency keys.
type Store interface {
	DeleteKeys(ctx context.Context, olderThan time.Duration, atMost int) (deleted int, err error)
}

// Cleaner does it again and again.
type Cleaner struct {
	store     Store
	retention time.Duration
	log       zerolog.Logger
}

// New returns a cleaner of idempotency keys older than the retention.
func New(store Store, retention time.Duration, log zerolog.Logger) *Cleaner {
	return &Cleaner{store: store, retention: retention, log: log}
}

// Run cleans until ctx is done. A database that is away is asked again the next
// time.
func (c *Cleaner) Run(ctx context.Context) error {
	complained := false
	for {
		n, err := c.store.DeleteKeys(ctx, c.retention, chunk)
		wait := every
		switch {
		case err != nil && ctx.Err() == nil:
			if !complained {
				c.log.Warn().Err(err).Msg("cannot delete old idempotency keys, trying again")
			}
			complained = true
		case n == chunk:
			wait = pause
			fallthrough
		default:
			complained = false
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}
