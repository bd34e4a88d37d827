package audit

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
)

const (
	// every is the least pause between two passes, and how often an applier without the
	// lead asks for it.
	every = 2 * time.Second
	// A pass works in portions of a page of deliveries, and rests after each as many times
	// as long as that portion took. Appliers have the cores meanwhile: a pass in one go
	// makes deliveries wait. It rests less while it lags behind the appliers.
	idle       = 7
	idleBehind = 3
	watchPage  = 256
	// One pass compares deliveriesAtOnce deliveries with their outcomes, or as many as it
	// can in timeAtOnce of work.
	deliveriesAtOnce = 20_000
	timeAtOnce       = 250 * time.Millisecond
	// turnWithin bounds a pass whose reads do not end.
	turnWithin = time.Minute
)

// WatchOptions say what a Watch works with. All but Behind are needed.
type WatchOptions struct {
	// Store is not the one that settles: its plans are made for other statements.
	Store *postgres.Store
	Conn  *broker.Conn
	// LedgerEvery is the pause between two checks of all of the ledger.
	LedgerEvery time.Duration
	// Behind reports whether settling is behind, so that the audit gives way. nil: it
	// never does.
	Behind  func(context.Context) bool
	Log     zerolog.Logger
	Metrics prometheus.Registerer
}

// Watch is the audit that always runs, in small passes: it compares each delivery's
// outcome soon after it was settled, and checks the whole ledger again and again, page
// by page. Every applier runs a Watch, and one at a time works. Its progress and
// findings are in the database, so that the next one continues and repeats no warning.
type Watch struct {
	WatchOptions
	stream *broker.Stream
	// isBehind says that the pass before has left something to compare.
	isBehind bool
	// ledgerBegins is when the next pass through the ledger does.
	ledgerBegins time.Time

	findings  *prometheus.GaugeVec
	acked     prometheus.Gauge
	unchecked prometheus.Gauge
	checked   prometheus.Counter
	passed    prometheus.Gauge
}

// NewWatch returns a watch.
func NewWatch(opts WatchOptions) *Watch {
	metrics := promauto.With(opts.Metrics)
	return &Watch{
		WatchOptions: opts,
		findings: metrics.NewGaugeVec(prometheus.GaugeOpts{
			Name: "coinhook_audit_findings",
			Help: "Findings of the audit that nobody has acknowledged, by kind, at the applier that audits; at most 1000 of each part.",
		}, []string{"kind"}),
		acked: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_audit_acknowledged_findings",
			Help: "Findings of the audit that an admin has acknowledged, at the applier that audits; at most 1000 of each part.",
		}),
		unchecked: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_audit_unchecked_messages",
			Help: "Settled messages that the audit has not compared with their outcomes yet.",
		}),
		checked: metrics.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_audit_checked_deliveries_total",
			Help: "Deliveries of the stream that were compared with their outcomes.",
		}),
		passed: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_audit_ledger_checked_timestamp_seconds",
			Help: "When the last check of the whole ledger ended, in Unix time.",
		}),
	}
}

// Run audits until ctx is done.
func (w *Watch) Run(ctx context.Context) error {
	var ledger sync.WaitGroup
	ledger.Go(func() { _ = w.ledgerJob().Run(ctx) }) // it ends with ctx, and with nothing else
	defer ledger.Wait()
	return w.streamJob().Run(ctx)
}

// count says how many findings there are, by kind.
func (w *Watch) count(ctx context.Context) error {
	open, err := w.Store.Findings(ctx)
	if err != nil {
		return err
	}
	kinds, acked := map[string]int{}, 0
	for _, f := range open {
		if f.Acked {
			acked++
			continue
		}
		kinds[f.Kind]++
	}
	w.acked.Set(float64(acked))
	w.findings.Reset()
	for kind, n := range kinds {
		w.findings.WithLabelValues(kind).Set(float64(n))
	}
	return nil
}

func (w *Watch) warn(fresh []admin.Finding) {
	for _, f := range fresh {
		if f.Acked {
			continue
		}
		e := w.Log.Warn().Str("kind", f.Kind).Str("detail", f.Detail)
		if f.DeliveryID != nil {
			e = e.Stringer("delivery_id", f.DeliveryID)
		}
		if f.UserID != nil {
			e = e.Stringer("user_id", f.UserID)
		}
		if f.Currency != nil {
			e = e.Str("currency", *f.Currency)
		}
		if f.Sequence > 0 {
			e = e.Uint64("stream_sequence", f.Sequence)
		}
		e.Msg("does not add up: see `coinhook audit`")
	}
}
