// Package clocks makes sure that a wrong clock removes nothing for its age: if an
// idempotency key or an outcome is removed too early, a delivery may take effect
// twice.
package clocks

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
)

// Tolerance is how far clocks may be apart. Clocks with NTP differ by much less,
// and every retention is longer.
const Tolerance = 5 * time.Minute

// Clock tells the time.
type Clock func(context.Context) (time.Time, error)

// Own is the clock of this process.
func Own(context.Context) (time.Time, error) { return time.Now(), nil }

// Clocks compares clocks.
type Clocks struct {
	clocks     map[string]Clock
	log        zerolog.Logger
	difference prometheus.Gauge

	mu    sync.Mutex
	apart bool
}

// New returns what compares these clocks, by the names of their machines.
func New(clocks map[string]Clock, log zerolog.Logger, metrics prometheus.Registerer) *Clocks {
	return &Clocks{
		clocks: clocks, log: log,
		difference: promauto.With(metrics).NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_clock_difference_seconds",
			Help: "How far the clocks of PostgreSQL, the broker and this applier are apart. Beyond 300 nothing is removed for its age.",
		}),
	}
}

// Agree reports whether all clocks tell about the same time. It warns when they
// begin to differ.
func (c *Clocks) Agree(ctx context.Context) (bool, error) {
	times := make(map[string]time.Time, len(c.clocks))
	var first, last time.Time
	names := slices.Sorted(maps.Keys(c.clocks))
	for _, name := range names {
		now, err := c.clocks[name](ctx)
		if err != nil {
			return false, fmt.Errorf("compare the clocks: %w", err)
		}
		times[name] = now
		if first.IsZero() || now.Before(first) {
			first = now
		}
		if now.After(last) {
			last = now
		}
	}
	difference := last.Sub(first)
	c.difference.Set(difference.Seconds())
	c.mu.Lock()
	defer c.mu.Unlock()
	apart := difference > Tolerance
	if apart && !c.apart {
		e := c.log.Warn()
		for _, name := range names {
			e = e.Time(name, times[name].UTC())
		}
		e.Msg("the clocks differ by more than 5 minutes: nothing is removed for its age until they agree again")
	}
	c.apart = apart
	return !apart, nil
}
