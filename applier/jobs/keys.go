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
	// sweepEvery is how often it looks at keys again that it has kept.
	sweepEvery = time.Hour
	// cleanChunk is how many rows one transaction deletes, and pause what lies between
	// two: deleting makes way for settling.
	cleanChunk = 500
	cleanPause = 100 * time.Millisecond
)

// KeyStore deletes idempotency keys.
type KeyStore interface {
	DeleteKeys(ctx context.Context, olderThan time.Duration, from time.Time, atMost int) (postgres.DeletedKeys, error)
}

// Clocks tells whether the clocks that say how old something is can be right.
type Clocks interface {
	Agree(ctx context.Context) (bool, error)
}

// CleanKeys returns the job that deletes idempotency keys older than the retention.
// Each applier does it. It does not look again each time at keys that stay: a webhook with
// parked deliveries may have millions.
func CleanKeys(store KeyStore, clocks Clocks, retention time.Duration, log zerolog.Logger) Job {
	var from, begun time.Time
	return Job{
		Every: cleanEvery, What: "delete old idempotency keys", Log: log,
		Turn: func(ctx context.Context, _ *postgres.Lead) (time.Duration, error) {
			// A clock that jumped ahead would have all keys deleted.
			if agree, err := clocks.Agree(ctx); err != nil || !agree {
				return cleanEvery, err
			}
			if from.IsZero() {
				begun = time.Now()
			}
			deleted, err := store.DeleteKeys(ctx, retention, from, cleanChunk)
			if err != nil {
				return cleanEvery, err
			}
			from = deleted.Next
			if deleted.More {
				return cleanPause, nil
			}
			if time.Since(begun) >= sweepEvery {
				from = time.Time{}
			}
			return cleanEvery, nil
		},
	}
}
