package report

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/postgres"
)

const (
	// countEvery is the least time from one count to the next. After a count the counter
	// sleeps countRest times the duration of that count.
	countEvery = 15 * time.Second
	countRest  = 50
)

// ParkedCounter counts parked deliveries. Every applier runs one, and one at a time
// works.
type ParkedCounter struct {
	Store *postgres.Store
	// Behind reports whether settling is behind, so that counting gives way. nil: it
	// never does.
	Behind func(context.Context) bool
	Log    zerolog.Logger
	parked *prometheus.GaugeVec
}

// NewParkedCounter returns a counter like c that has a gauge.
func NewParkedCounter(c ParkedCounter, metrics prometheus.Registerer) *ParkedCounter {
	c.parked = promauto.With(metrics).NewGaugeVec(prometheus.GaugeOpts{
		Name: "coinhook_parked_deliveries",
		Help: "Deliveries and replays that are parked now, by reason. Only the applier that counts them reports them; the others report 0. " +
			"Beyond 10000 of one webhook the rest is estimated.",
	}, []string{"reason"})
	c.set(nil)
	return &c
}

// Run counts until ctx is done.
func (c *ParkedCounter) Run(ctx context.Context) error {
	return jobs.Job{
		Store: c.Store, Lead: postgres.CountParked, Every: countEvery, What: "count parked deliveries", Log: c.Log, Behind: c.Behind,
		Resigned: func() { c.set(nil) }, // they are counted where the lead is
		Turn: func(ctx context.Context, _ *postgres.Lead) (time.Duration, error) {
			start := time.Now()
			parked, err := c.Store.CountParked(ctx)
			if err == nil {
				c.set(parked)
			}
			return max(countEvery, countRest*time.Since(start)), err
		},
	}.Run(ctx)
}

func (c *ParkedCounter) set(parked map[applier.ParkReason]int) {
	for _, reason := range []applier.ParkReason{applier.Paused, applier.KeyUnavailable, applier.UserLocked, applier.NewerFormat} {
		c.parked.WithLabelValues(string(reason)).Set(float64(parked[reason]))
	}
}
