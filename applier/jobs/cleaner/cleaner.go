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

// Clocks tells whether the clocks that say how old a key is can be right.
type Clocks interface {
	Agree(ctx context.Context) (bool, error)
}

// Cleaner does it again and again.
type Cleaner struct {
	store     Store
	clocks    Clocks
	retention time.Duration
	log       zerolog.Logger
}

// New returns a cleaner of idempotency keys older than the retention.
func New(store Store, clocks Clocks, retention time.Duration, log zerolog.Logger) *Cleaner {
	return &Cleaner{store: store, clocks: clocks, retention: retention, log: log}
}

// Run cleans until ctx is done. A database that is away is asked again the next
// time.
func (c *Cleaner) Run(ctx context.Context) error {
	complained := false
	for {
		n, err := c.clean(ctx)
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

// clean deletes a chunk. A clock that jumped ahead would have all keys deleted.
func (c *Cleaner) clean(ctx context.Context) (deleted int, err error) {
	if agree, err := c.clocks.Agree(ctx); err != nil || !agree {
		return 0, err
	}
	return c.store.DeleteKeys(ctx, c.retention, chunk)
}
