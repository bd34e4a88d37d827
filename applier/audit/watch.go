package audit

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/leader"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// every is the least pause between two turns, and how often an applier without
	// the lead asks for it.
	every = 2 * time.Second
	// idle is how many times as long as a turn took nothing is done after it.
	idle = 10
	// messagesAtOnce are compared with their outcomes in one turn; one message has
	// up to 256 deliveries.
	messagesAtOnce = 100
)

// WatchOptions say what a Watch works with. All are needed.
type WatchOptions struct {
	// Store is not the one that settles: its plans are made for other statements.
	Store *postgres.Store
	Conn  *broker.Conn
	// LedgerEvery is the pause between two checks of all of the ledger.
	LedgerEvery time.Duration
	Log         zerolog.Logger
	Metrics     prometheus.Registerer
}

// Watch is the audit that always runs, bit by bit: each delivery's outcome soon
// after the appliers have let go of it, and all of the ledger again and again,
// page by page. Every applier runs one, and one at a time works. How far it is
// and what it found is in the database, so that the next one goes on, and warns
// of nothing twice.
type Watch struct {
	WatchOptions
	stream *broker.Stream
	// ledgerBegins is when the next pass through the ledger does.
	ledgerBegins time.Time

	findings  *prometheus.GaugeVec
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
			Help: "What does not add up, by kind, as the applier that audits knows it; at most 1000 of each part.",
		}, []string{"kind"}),
		unchecked: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_audit_unchecked_messages",
			Help: "Messages that the appliers have let go of and that are not compared with their outcomes yet.",
		}),
		checked: metrics.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_audit_checked_deliveries_total",
			Help: "Deliveries of the stream that were compared with their outcomes.",
		}),
		passed: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_audit_ledger_checked_timestamp_seconds",
			Help: "When all of the ledger had been checked last.",
		}),
	}
}

// Run audits until ctx is done.
func (w *Watch) Run(ctx context.Context) error {
	return leader.Job{
		Store: w.Store, Lead: postgres.Audit, Every: every, What: "audit", Log: w.Log,
		Resigned: func() { // what there is, is counted where the lead is
			w.findings.Reset()
			w.unchecked.Set(0)
		},
		Turn: func(ctx context.Context) (time.Duration, error) {
			start := time.Now()
			err := w.turn(ctx)
			return max(every, idle*time.Since(start)), err
		},
	}.Run(ctx)
}

func (w *Watch) turn(ctx context.Context) error {
	if err := w.open(ctx); err != nil {
		return err
	}
	if err := w.watchStream(ctx); err != nil {
		return err
	}
	if err := w.watchLedger(ctx); err != nil {
		return err
	}
	return w.count(ctx)
}

func (w *Watch) open(ctx context.Context) (err error) {
	if w.stream != nil {
		return nil
	}
	if err := w.Conn.WaitConnected(ctx); err != nil {
		return err
	}
	w.stream, err = w.Conn.OpenStream(ctx)
	return err
}

// count says how many findings there are, by kind.
func (w *Watch) count(ctx context.Context) error {
	open, err := w.Store.Findings(ctx)
	if err != nil {
		return err
	}
	kinds := map[string]int{}
	for _, f := range open {
		kinds[f.Kind]++
	}
	w.findings.Reset()
	for kind, n := range kinds {
		w.findings.WithLabelValues(kind).Set(float64(n))
	}
	return nil
}

// watchStream compares what the appliers have let go of since the last turn, and
// looks again at what it found before.
func (w *Watch) watchStream(ctx context.Context) error {
	p, open, err := w.Store.Audited(ctx)
	if err != nil {
		return err
	}
	pending, err := w.stream.Pending(ctx)
	if err != nil {
		return err
	}
	x := &audit{Auditor: New(w.Store, w.stream), incarnation: pending.Incarnation, ackFloor: max(pending.First, 1) - 1}
	if x.extent, err = w.stream.Extent(ctx); err != nil {
		return err
	}
	later, err := w.Store.LaterIncarnation(ctx, x.incarnation)
	if err != nil {
		return err
	}
	latest, err := w.Store.LatestPlace(ctx, x.incarnation)
	if err != nil {
		return err
	}
	if err := x.compareEnds(ctx, later, latest); err != nil {
		return err
	}
	if p.Incarnation != x.incarnation {
		if p.Incarnation != "" {
			w.Log.Warn().Str("before", p.Incarnation).Str("now", x.incarnation).
				Msg("the stream is not the one from before: what was pending there and was not settled is lost with it")
		}
		p.Incarnation, p.Sequence, open = x.incarnation, 0, nil
	}
	// What is gone cannot be compared, and what came back is compared again.
	p.Sequence = min(max(p.Sequence, max(x.extent.First, 1)-1), x.extent.Last)
	if err := x.auditAgain(ctx, open); err != nil {
		return err
	}
	next := broker.Extent{First: p.Sequence + 1, Last: min(x.ackFloor, p.Sequence+messagesAtOnce)}
	if next.First <= next.Last {
		if err := x.auditMessages(ctx, next); err != nil {
			return err
		}
		// What cannot be kept is found again, as soon as there is room.
		if len(x.report.Violations) <= postgres.MaxFindings {
			p.Sequence = next.Last
		}
	}
	w.checked.Add(float64(x.report.Accepted + x.report.Replays))
	w.unchecked.Set(float64(max(x.ackFloor, p.Sequence) - p.Sequence))
	fresh, err := w.Store.RecordStream(ctx, p, x.findings())
	w.warn(fresh)
	return err
}

// auditAgain looks again at the messages that findings are about.
func (x *audit) auditAgain(ctx context.Context, open []postgres.Finding) error {
	sequences := map[uint64]struct{}{}
	for _, f := range open {
		if f.Part == postgres.StreamFindings && f.Sequence >= x.extent.First && f.Sequence <= x.extent.Last {
			sequences[f.Sequence] = struct{}{}
		}
	}
	for _, sequence := range slices.Sorted(maps.Keys(sequences)) {
		message, err := x.stream.Deliveries(ctx, sequence)
		if err != nil {
			return err
		}
		x.page = append(x.page, message...)
		if len(x.page) >= pageSize {
			if err := x.auditPage(ctx); err != nil {
				return err
			}
		}
	}
	return x.auditPage(ctx)
}

// findings are the violations as the store keeps them.
func (x *audit) findings() []postgres.Finding {
	all := make([]postgres.Finding, 0, len(x.report.Violations))
	for _, v := range x.report.Violations {
		f := postgres.Finding{Violation: postgres.Violation{Kind: v.Kind, Detail: v.Detail}, Sequence: v.Sequence}
		if v.DeliveryID != nil {
			f.DeliveryID = *v.DeliveryID
		}
		all = append(all, f)
	}
	return all
}

// watchLedger checks the next page of the accounts and of the deliveries.
func (w *Watch) watchLedger(ctx context.Context) error {
	if time.Now().Before(w.ledgerBegins) {
		return nil
	}
	p, err := w.Store.LedgerProgress(ctx)
	if err != nil {
		return err
	}
	// A part that is through waits for the other one.
	if !postgres.IsLastPage(p.Accounts) {
		to, fresh, err := w.Store.AuditAccounts(ctx, p.Accounts)
		if err != nil {
			return err
		}
		w.warn(fresh)
		p.Accounts = to
	}
	if !postgres.IsLastPage(p.Deliveries) {
		to, fresh, err := w.Store.AuditDeliveries(ctx, p.Deliveries)
		if err != nil {
			return err
		}
		w.warn(fresh)
		p.Deliveries = to
	}
	if postgres.IsLastPage(p.Accounts) && postgres.IsLastPage(p.Deliveries) {
		p = postgres.LedgerProgress{}
		w.ledgerBegins = time.Now().Add(w.LedgerEvery)
		w.passed.SetToCurrentTime()
	}
	return w.Store.SaveLedgerProgress(ctx, p)
}

func (w *Watch) warn(fresh []postgres.Finding) {
	for _, f := range fresh {
		e := w.Log.Warn().Str("kind", f.Kind).Str("detail", f.Detail)
		if f.DeliveryID != (delivery.ID{}) {
			e = e.Stringer("delivery_id", f.DeliveryID)
		}
		if f.UserID != (delivery.ID{}) {
			e = e.Stringer("user_id", f.UserID)
		}
		if f.Currency != "" {
			e = e.Str("currency", f.Currency)
		}
		if f.Sequence > 0 {
			e = e.Uint64("stream_sequence", f.Sequence)
		}
		e.Msg("does not add up: see `coinhook audit`")
	}
}
