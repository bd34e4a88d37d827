package jobs

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

const (
	// cleanEvery is how often it looks; each applier does.
	cleanEvery = time.Minute
	// cleanChunk is how many rows one transaction deletes, and pause what lies between
	// two: deleting makes way for settling.
	cleanChunk = 500
	cleanPause = 100 * time.Millisecond
)

// KeyStore deletes idempotency keys.
type KeyStore interface {
	DeleteKeys(ctx context.Context, olderThan time.Duration, atMost int) (deleted int, err error)
}

// Clocks tells whether the clocks that say how old a key is can be right.
type Clocks interface {
	Agree(ctx context.Context) (bool, error)
}

// KeyCleaner deletes old idempotency keys.
type KeyCleaner struct {
	store     KeyStore
	clocks    Clocks
	retention time.Duration
	log       zerolog.Logger
}

// NewKeyCleaner returns a cleaner of idempotency keys older than the retention.
func NewKeyCleaner(store KeyStore, clocks Clocks, retention time.Duration, log zerolog.Logger) *KeyCleaner {
	return &KeyCleaner{store: store, clocks: clocks, retention: retention, log: log}
}

// Run cleans until ctx is done. A database that is away is asked again the next
// time.
func (c *KeyCleaner) Run(ctx context.Context) error {
	complained := false
	for {
		n, err := c.clean(ctx)
		wait := cleanEvery
		switch {
		case err != nil && ctx.Err() == nil:
			if !complained {
				c.log.Warn().Err(err).Msg("cannot delete old idempotency keys, trying again")
			}
			complained = true
		case n == cleanChunk:
			wait = cleanPause
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
func (c *KeyCleaner) clean(ctx context.Context) (deleted int, err error) {
	if agree, err := c.clocks.Agree(ctx); err != nil || !agree {
		return 0, err
	}
	return c.store.DeleteKeys(ctx, c.retention, cleanChunk)
}
