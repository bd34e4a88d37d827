package jobs

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/postgres"
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

// Clocks tells whether the clocks that say how old something is can be right.
type Clocks interface {
	Agree(ctx context.Context) (bool, error)
}

// CleanKeys returns the job that deletes idempotency keys older than the retention.
// Each applier does it.
func CleanKeys(store KeyStore, clocks Clocks, retention time.Duration, log zerolog.Logger) Job {
	return Job{
		Every: cleanEvery, What: "delete old idempotency keys", Log: log,
		Turn: func(ctx context.Context, _ *postgres.Lead) (time.Duration, error) {
			// A clock that jumped ahead would have all keys deleted.
			if agree, err := clocks.Agree(ctx); err != nil || !agree {
				return cleanEvery, err
			}
			deleted, err := store.DeleteKeys(ctx, retention, cleanChunk)
			if deleted == cleanChunk {
				return cleanPause, err
			}
			return cleanEvery, err
		},
	}
}
