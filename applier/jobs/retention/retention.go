// Package retention removes what is older than the settings say: messages from
// the stream, then outcomes and gamification logs whose messages are gone. It
// never removes a row or message that prevents a second execution, or that the audit needs.
package retention

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/jobs/clocks"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
)

const (
	// The job runs several times within the shorter retention, within these bounds.
	lookAtMost  = time.Second
	lookAtLeast = time.Minute
	// chunk is how many rows one transaction removes. After it the job sleeps idle times
	// its duration, so that settling comes first.
	chunk = 2000
	idle  = 5
	// messagesAtOnce bounds what the broker removes in one go.
	messagesAtOnce = 10_000
)

// Options say what a Job works with. All but Behind are needed.
type Options struct {
	// Store is not the one that settles: its plans are made for other statements.
	Store *postgres.Store
	Conn  *broker.Conn
	// Stream is how long a message stays after it was stored, History how long an
	// outcome stays after it was written. 0 is forever.
	Stream, History time.Duration
	Clocks          jobs.Clocks
	// Behind reports whether settling is behind, so that removing gives way. nil: it
	// never does.
	Behind  func(context.Context) bool
	Log     zerolog.Logger
	Metrics prometheus.Registerer
}

// Job removes. Every applier runs one, and one at a time works.
type Job struct {
	Options
	stream *broker.Stream
	held   bool // because the audit has findings

	messages prometheus.Counter
	rows     *prometheus.CounterVec
}

// New returns a job.
func New(opts Options) *Job {
	metrics := promauto.With(opts.Metrics)
	return &Job{
		Options: opts,
		messages: metrics.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_retention_removed_messages_total",
			Help: "Messages of the stream that were removed for their age.",
		}),
		rows: metrics.NewCounterVec(prometheus.CounterOpts{
			Name: "coinhook_retention_removed_rows_total",
			Help: "Rows that were removed for their age, by table.",
		}, []string{"table"}),
	}
}

// Run removes until ctx is done.
func (j *Job) Run(ctx context.Context) error {
	if j.Stream <= 0 {
		<-ctx.Done()
		return nil
	}
	return jobs.Job{
		Store: j.Store, Lead: postgres.Retention, Every: j.every(), What: "remove old rows and messages", Log: j.Log, Behind: j.Behind,
		Turn: func(ctx context.Context, _ *postgres.Lead) (time.Duration, error) {
			start := time.Now()
			more, err := j.turn(ctx)
			if more {
				return idle * time.Since(start), err
			}
			return j.every(), err
		},
	}.Run(ctx)
}

func (j *Job) every() time.Duration { return min(max(j.Stream/4, lookAtMost), lookAtLeast) }

// turn makes one pass: it removes a little of everything, and returns whether there may
// be more.
func (j *Job) turn(ctx context.Context) (more bool, err error) {
	if j.stream, err = jobs.OpenStream(ctx, j.Conn, j.stream); err != nil {
		return false, err
	}
	audited, found, err := j.Store.Audited(ctx)
	if err != nil {
		return false, err
	}
	everything, from := heldBack(found)
	j.warnHeld(everything || from < math.MaxUint64, len(found))
	if everything {
		return false, nil
	}
	if agree, err := j.Clocks.Agree(ctx); err != nil || !agree {
		return false, err
	}
	pending, err := j.stream.Pending(ctx)
	if err != nil {
		return false, err
	}
	more, err = j.removeMessages(ctx, pending, audited, from)
	if err != nil || j.History <= 0 {
		return more, err
	}
	moreRows, err := j.removeRows(ctx, pending)
	return more || moreRows, err
}

// heldBack says what unacknowledged findings hold back, because an admin needs all rows to
// investigate them. A delivery in the stream holds back its message and those after it,
// any other finding everything.
func heldBack(found []admin.Finding) (everything bool, from uint64) {
	from = math.MaxUint64
	for _, f := range found {
		switch {
		case f.Acked:
		case f.Part == admin.StreamFindings && f.DeliveryID != nil && f.Sequence > 0:
			from = min(from, f.Sequence)
		default:
			everything = true
		}
	}
	return everything, from
}

// warnHeld warns when something begins to hold back the removal.
func (j *Job) warnHeld(held bool, found int) {
	if held && !j.held {
		j.Log.Warn().Int("findings", found).
			Msg("rows with findings of the audit are not removed: see `coinhook audit`; `coinhook audit ack` acknowledges a finding that cannot be corrected")
	}
	j.held = held
}

// removeMessages removes old messages whose deliveries the audit has seen settled or
// parked, up to the one that is held back or that has what no row has.
func (j *Job) removeMessages(ctx context.Context, pending broker.Pending, audited postgres.StreamProgress, held uint64) (more bool, err error) {
	if audited.Incarnation != pending.Incarnation {
		return false, nil
	}
	extent, err := j.stream.Extent(ctx)
	if err != nil {
		return false, err
	}
	// The audit begins again if the stream has other messages at its positions.
	if back, err := j.stream.WentBack(ctx, extent, audited.Sequence, audited.StoredAt); back || err != nil {
		return false, err
	}
	newer, err := j.Store.FirstNewer(ctx, pending.Incarnation)
	if err != nil {
		return false, err
	}
	if newer > 0 {
		held = min(held, newer)
	}
	first := max(extent.First, 1)
	settled := broker.Extent{First: first, Last: min(audited.Sequence, pending.First-1, extent.Last, held-1)}
	if settled.Last < settled.First {
		return false, nil
	}
	// The stream's own clock says how old they are.
	old, err := j.stream.StoredBefore(ctx, settled, pending.At.Add(-j.Stream))
	if err != nil || old == 0 {
		return false, err
	}
	to := min(old, first+messagesAtOnce-1)
	if err := j.stream.RemoveTo(ctx, to); err != nil {
		return false, err
	}
	j.messages.Add(float64(to - first + 1))
	j.Log.Debug().Uint64("to", to).Msg("removed old messages from the stream")
	return to < old, nil
}

// removeRows removes a chunk of each table.
func (j *Job) removeRows(ctx context.Context, pending broker.Pending) (more bool, err error) {
	extent, err := j.stream.Extent(ctx)
	if err != nil {
		return false, err
	}
	now, err := j.Store.Now(ctx)
	if err != nil {
		return false, err
	}
	old := postgres.Old{
		Before: now.Add(-j.History), Incarnation: pending.Incarnation, First: max(extent.First, 1),
		StoredBefore: pending.At.Add(-j.History + min(clocks.Tolerance, j.History/2)),
	}
	for _, remove := range []func(context.Context, postgres.Old, int) (postgres.Removed, error){
		j.Store.RemoveLogs, j.Store.RemoveOutcomes, j.Store.RemoveFieldHistory,
	} {
		removed, err := remove(ctx, old, chunk)
		if err != nil {
			return false, err
		}
		more = more || removed.More
		for table, n := range map[string]int{
			"gamification_logs": removed.Logs, "outcomes": removed.Outcomes, "field_history": removed.FieldHistory,
		} {
			if n > 0 {
				j.rows.WithLabelValues(table).Add(float64(n))
			}
		}
	}
	return more, nil
}
