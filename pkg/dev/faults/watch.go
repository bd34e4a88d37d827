package faults

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// watchEvery is how exactly the pauses of settling are known.
const watchEvery = 100 * time.Millisecond

// settling notes when there was a new gamification log.
type settling struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	times  []time.Time
}

// watchSettling looks at the newest log again and again. While PostgreSQL cannot
// be read nothing is settled either.
func watchSettling(ctx context.Context, db *sql.DB) *settling {
	ctx, cancel := context.WithCancel(ctx)
	s := &settling{cancel: cancel}
	s.done.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		last := int64(-1)
		for {
			look, cancel := context.WithTimeout(ctx, time.Second)
			var newest int64
			err := db.QueryRowContext(look, `SELECT coalesce(max(id), 0) FROM gamification_logs`).Scan(&newest)
			cancel()
			if err == nil && newest != last {
				s.times, last = append(s.times, time.Now()), newest
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return s
}

// longest ends the watch and returns the longest time without a new log.
func (s *settling) longest(start, end time.Time) time.Duration {
	s.cancel()
	s.done.Wait()
	return longestGap(s.times, start, end)
}
