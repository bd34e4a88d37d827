package jobs

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/postgres"
)

const (
	// countEvery is how often deliveries are counted.
	countEvery = 5 * time.Second
	// countIdle: after a pass that leaves more to count the job sleeps so many times its
	// duration, because settling comes first.
	countIdle = 3
)

// CountDeliveries returns the job that counts deliveries by minute, for the console's
// numbers and charts. One applier at a time does it.
func CountDeliveries(store *postgres.Store, log zerolog.Logger) Job {
	counter := postgres.NewDeliveryCounter(store)
	return Job{
		Store: store, Lead: postgres.CountMinutes, Every: countEvery, What: "count deliveries by minute", Log: log,
		Turn: func(ctx context.Context, _ *postgres.Lead) (time.Duration, error) {
			start := time.Now()
			minutes, more, err := counter.Count(ctx)
			if err == nil && minutes > 0 {
				log.Debug().Int("minutes", minutes).Msg("counted deliveries by minute")
			}
			if more {
				return countIdle * time.Since(start), err
			}
			return countEvery, err
		},
	}
}
