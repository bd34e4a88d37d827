// Package report logs and counts what the applier does.
package report

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// postponedEvery is how often a lasting outage is logged.
const postponedEvery = 10 * time.Second

// Reporter is an applier.Reporter.
type Reporter struct {
	log zerolog.Logger
	now func() time.Time

	settled   *prometheus.CounterVec
	known     prometheus.Counter
	replays   *prometheus.CounterVec
	forgotten prometheus.Counter
	postponed prometheus.Counter
	parked    *prometheus.CounterVec
	bugs      prometheus.Counter
	stopped   prometheus.Gauge
	lag       prometheus.Histogram

	troubles *troubles

	postponedLog, forgottenLog limiter
	parkedLog                  parkedLimiter
	isStopped                  atomic.Bool
}

// limiter lets through one line in postponedEvery.
type limiter struct {
	mu   sync.Mutex
	last time.Time
}

func (l *limiter) due(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.last) < postponedEvery {
		return false
	}
	l.last = now
	return true
}

// parkedEvery is how often a webhook with parked deliveries is logged.
const parkedEvery = time.Minute

// parkedLimiter lets through one line of a webhook and reason in parkedEvery.
type parkedLimiter struct {
	mu   sync.Mutex
	last map[parkedKey]*parkedCount
}

type parkedKey struct {
	webhookID string
	reason    applier.ParkReason
}

type parkedCount struct {
	at         time.Time
	deliveries int // since then
}

// due returns how many deliveries the line is about, and 0 while none is due.
func (l *parkedLimiter) due(webhookID string, reason applier.ParkReason, now time.Time) (deliveries int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := parkedKey{webhookID, reason}
	c := l.last[key]
	if c == nil {
		if l.last == nil {
			l.last = map[parkedKey]*parkedCount{}
		}
		maps.DeleteFunc(l.last, func(_ parkedKey, c *parkedCount) bool { return now.Sub(c.at) >= 2*parkedEvery })
		c = &parkedCount{}
		l.last[key] = c
	}
	c.deliveries++
	if now.Sub(c.at) < parkedEvery {
		return 0
	}
	deliveries = c.deliveries
	c.at, c.deliveries = now, 0
	return deliveries
}

var _ applier.Reporter = (*Reporter)(nil)

// New returns a reporter.
func New(log zerolog.Logger, metrics prometheus.Registerer) *Reporter {
	m := promauto.With(metrics)
	r := &Reporter{
		log: log,
		now: time.Now,

		troubles: newTroubles(time.Now),

		settled: m.NewCounterVec(prometheus.CounterOpts{
			Name: "coinhook_applier_settled_deliveries_total",
			Help: "Deliveries that got their outcome, by status, outcome and reason.",
		}, []string{"status", "outcome", "reason"}),
		known: m.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_applier_known_deliveries_total",
			Help: "Deliveries that were redelivered after they got their outcome: nothing changed.",
		}),
		forgotten: m.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_applier_forgotten_deliveries_total",
			Help: "Deliveries in a restored stream whose outcome had been removed for its age: they were not executed again.",
		}),
		postponed: m.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_applier_postponed_deliveries_total",
			Help: "Deliveries that could not be settled and are retried.",
		}),
		parked: m.NewCounterVec(prometheus.CounterOpts{
			Name: "coinhook_applier_parked_deliveries_total",
			Help: "Deliveries that were parked, by reason. They wait in PostgreSQL until their webhook or user is ready.",
		}, []string{"reason"}),
		replays: m.NewCounterVec(prometheus.CounterOpts{
			Name: "coinhook_applier_replays_total",
			Help: "Dead letters that were run again, by cause and effect: applied, duplicate, skipped, failed or no_op.",
		}, []string{"cause", "effect"}),
		bugs: m.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_applier_bugs_total",
			Help: "Deliveries that met an error in Coinhook. Always investigate.",
		}),
		stopped: m.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_applier_stopped",
			Help: "1 while PostgreSQL refuses one delivery after another and nothing is settled, else 0.",
		}),
		lag: m.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_applier_delivery_seconds",
			Help:    "Time from the request to the outcome.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 20),
		}),
	}
	// Each series starts at 0: one that begins with its first failures shows no increase.
	for _, outcome := range []delivery.Outcome{delivery.Applied, delivery.Duplicate, delivery.Skipped} {
		r.settled.WithLabelValues(string(delivery.Success), string(outcome), "")
	}
	for _, reason := range delivery.Reasons() {
		r.settled.WithLabelValues(string(delivery.Failed), "", string(reason))
	}
	return r
}

// Settled counts the outcome. It logs a failure, because an admin will ask.
func (r *Reporter) Settled(item applier.Item, s applier.Settlement) {
	r.troubles.settled(item.Delivery.ID)
	if s.Known {
		r.known.Inc()
		return
	}
	if s.Forgotten {
		r.forget(item.Delivery)
		return
	}
	if item.Delivery.Replay != nil {
		r.replayed(item, s)
		return
	}
	var reason delivery.Reason
	if s.Failure != nil {
		reason = s.Failure.Reason
		r.log.Info().Stringer("delivery_id", item.Delivery.ID).Str("webhook_id", item.Delivery.WebhookID).
			Str("reason", string(reason)).Msg("delivery failed")
	}
	r.settled.WithLabelValues(string(s.Status), string(s.Outcome), string(reason)).Inc()
	r.lag.Observe(r.now().Sub(item.Delivery.ReceivedAt).Seconds())
}

// forget counts a delivery that was settled before its outcome was removed. A restored
// stream may have many, so only some are logged.
func (r *Reporter) forget(d *delivery.Delivery) {
	r.forgotten.Inc()
	if r.forgottenLog.due(r.now()) {
		r.log.Warn().Stringer("delivery_id", d.ID).Str("webhook_id", d.WebhookID).Uint64("stream_sequence", d.Position.Sequence).
			Msg("the stream came back from a backup with a delivery that was settled and then removed for its age: it is not executed again; " +
				"coinhook_applier_forgotten_deliveries_total counts all such deliveries")
	}
}

// replayed counts a replay separately: its delivery had an outcome before, so its time
// from the request to the outcome does not show how fast appliers are.
func (r *Reporter) replayed(item applier.Item, s applier.Settlement) {
	effect := string(s.Outcome)
	switch {
	case s.NoOp:
		effect = "no_op"
	case s.Status == delivery.Failed:
		effect = "failed"
	}
	replay := item.Delivery.Replay
	r.replays.WithLabelValues(string(replay.Cause), effect).Inc()
	r.log.Info().Stringer("delivery_id", item.Delivery.ID).Str("webhook_id", item.Delivery.WebhookID).
		Stringer("replay_id", replay.ID).Str("cause", string(replay.Cause)).Str("effect", effect).Msg("dead letter replayed")
}

// Postponed logs an outage when it begins, and then now and again. No deliveries: the
// error concerns none in particular.
func (r *Reporter) Postponed(deliveries []*delivery.Delivery, err error) {
	r.troubles.postponed(deliveries, err)
	r.postponed.Add(float64(len(deliveries)))
	if r.postponedLog.due(r.now()) {
		r.log.Warn().Err(err).Int("deliveries", len(deliveries)).Msg("deliveries stay pending and are retried")
	}
}

// Parked counts a delivery that waits in a row of its own. A webhook that is paused may
// have millions: one line in a while speaks for all of a webhook and reason.
func (r *Reporter) Parked(d *delivery.Delivery, reason applier.ParkReason, err error) {
	r.troubles.settled(d.ID)
	r.parked.WithLabelValues(string(reason)).Inc()
	if n := r.parkedLog.due(d.WebhookID, reason, r.now()); n > 0 {
		r.log.Info().Err(err).Str("webhook_id", d.WebhookID).Str("reason", string(reason)).Int("deliveries", n).
			Stringer("delivery_id", d.ID).Msg("deliveries of a webhook are parked")
	}
}

// Publish keeps a notice of what is postponed, until ctx is done.
func (r *Reporter) Publish(ctx context.Context, notice Notice) error {
	p := publisher{troubles: r.troubles, notice: notice, log: r.log}
	return p.run(ctx)
}

// Bug logs an error that should not have been possible.
func (r *Reporter) Bug(d *delivery.Delivery, err error) {
	r.bugs.Inc()
	r.log.Error().Err(err).Stringer("delivery_id", d.ID).Str("webhook_id", d.WebhookID).
		Uint64("stream_sequence", d.Position.Sequence).Msg("a delivery met an error in Coinhook")
}

// Stopped logs an error when PostgreSQL begins to refuse all deliveries, and when
// that ends.
func (r *Reporter) Stopped(cause error) {
	was := r.isStopped.Swap(cause != nil)
	switch {
	case cause == nil:
		r.stopped.Set(0)
		r.log.Info().Msg("PostgreSQL takes deliveries again")
	case !was:
		r.stopped.Set(1)
		r.log.Error().Err(cause).Msg("PostgreSQL refuses one delivery after the other: nothing is settled, deliveries stay pending")
	}
}
