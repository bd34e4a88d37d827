// Package lateusers runs deliveries again that failed because their user did not exist,
// once the user exists. Webhooks ask for it with late_users.
package lateusers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	// every is the least pause between two sweeps, and how often an applier without the
	// lead asks for it.
	every = 2 * time.Second
	// After each page the job sleeps idle times the duration of that page: the database
	// spends a twentieth of a core at most, however many dead letters wait.
	idle = 20
	// longest bounds that pause: a page also takes long while PostgreSQL stalls, and then
	// it costs nothing.
	longest = 30 * time.Second
)

// Definitions are those of the webhooks as they are now, from memory.
type Definitions interface {
	List() []*webhook.Webhook
}

// Publisher returns nil once the delivery is stored. After an error the result is
// unknown.
type Publisher interface {
	Publish(ctx context.Context, d delivery.Delivery) error
}

// Options say what a Job works with. All but Behind are needed.
type Options struct {
	// Store is not the one that settles: its plans are made for other statements.
	Store       *postgres.Store
	Definitions Definitions
	Publisher   Publisher
	// KeyRetention is how long idempotency keys are kept.
	KeyRetention time.Duration
	// Behind reports whether settling is behind, so that sweeps give way. nil: they
	// never do.
	Behind  func(context.Context) bool
	Now     func() time.Time
	Log     zerolog.Logger
	Metrics prometheus.Registerer
}

// Job sweeps over the dead letters that wait for a user. Every applier runs one,
// and one at a time works. A sweep has no state outside the database: the next sweep sees
// rows that were committed meanwhile, and those that a dead applier had found.
type Job struct {
	Options
	out   outstanding
	spent spent

	replayed     prometheus.Counter
	sweepSeconds prometheus.Histogram
}

// New returns a job.
func New(opts Options) *Job {
	metrics := promauto.With(opts.Metrics)
	return &Job{
		Options: opts,
		out:     outstanding{sent: map[delivery.ID]sent{}},
		spent:   spent{},
		replayed: metrics.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_late_users_replayed_deliveries_total",
			Help: "Deliveries that were run again because their user had appeared.",
		}),
		sweepSeconds: metrics.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_late_users_sweep_seconds",
			Help:    "Time that the database took to scan the dead letters that wait for a user.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}),
	}
}

// Run sweeps until ctx is done, while a webhook asks for it and no other applier does.
func (j *Job) Run(ctx context.Context) error {
	return jobs.Job{
		Store: j.Store, Lead: postgres.LateUsers, Every: every, What: "run deliveries again whose users have appeared", Log: j.Log, Behind: j.Behind,
		Wanted: func() bool { return len(j.asking()) > 0 },
		Turn: func(ctx context.Context, lead *postgres.Lead) (time.Duration, error) {
			pause, err := j.sweep(ctx, lead)
			return max(every, pause), err
		},
	}.Run(ctx)
}

// asking returns the webhooks whose deliveries run again by themselves.
func (j *Job) asking() map[string]*webhook.Webhook {
	asking := map[string]*webhook.Webhook{}
	for _, w := range j.Definitions.List() {
		if w.DeletedAt == nil && w.State == webhook.Active && w.Program != nil && w.Program.LateUsers != nil {
			asking[w.ID] = w
		}
	}
	return asking
}
