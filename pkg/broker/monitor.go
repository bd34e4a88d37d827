package broker

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
)

const (
	// A monitor looks several times within the limit, but no more often than the
	// one and no more rarely than the other.
	lookAtMost  = 250 * time.Millisecond
	lookAtLeast = 10 * time.Second
	// lookWithin bounds one look.
	lookWithin = 30 * time.Second

	// readAtOnce is how many messages one look counts at most. A backlog of a
	// million takes 20 looks, some minutes, and its count rises meanwhile.
	readAtOnce = 50_000
	// talliedAtMost bounds the memory of a tally to 32 MB.
	talliedAtMost = 4_000_000
)

// MonitorOptions say what a Monitor looks for.
type MonitorOptions struct {
	// Limit is how long a delivery may be pending before somebody should look.
	Limit   time.Duration
	Log     zerolog.Logger
	Metrics prometheus.Registerer // nil for none
}

// Monitor watches what is pending, by what the broker tells alone: it works
// while all appliers are stopped and PostgreSQL is away. Every service runs one,
// and they agree who warns.
type Monitor struct {
	conn    *Conn
	limit   time.Duration
	log     zerolog.Logger
	overdue prometheus.Gauge
	pending prometheus.Gauge
	atOnce  uint64 // messages that one look counts

	settling settling

	stream      *Stream            // opened by the first look
	state       jetstream.KeyValue // opened by the first warning
	incarnation string             // of what is remembered below
	oldest      storedMessage      // the first that is not acknowledged
	tally       tally              // all of them, as far as they are counted
	mu          sync.Mutex         // guards waits and lookedAt
	waits       time.Duration      // how long the oldest waited when it was looked at
	lookedAt    time.Time
}

// storedMessage is when a message was stored. Sequence 0 is none.
type storedMessage struct {
	sequence uint64
	at       time.Time
}

// NewMonitor returns a monitor for Run.
func NewMonitor(c *Conn, opts MonitorOptions) *Monitor {
	metrics := promauto.With(opts.Metrics)
	m := &Monitor{
		conn: c, limit: opts.Limit, log: opts.Log, atOnce: readAtOnce,
		overdue: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_pending_overdue_deliveries",
			Help: "Deliveries that have been pending for longer than PENDING_LIMIT, as far as the broker can tell.",
		}),
		pending: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_pending_deliveries",
			Help: "Deliveries that wait to be settled. Part of a long backlog is estimated until it is counted.",
		}),
	}
	metrics.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coinhook_settling_stalled_seconds",
		Help: "How long nothing has been settled while deliveries wait for no known cause; 0 while settling goes on.",
	}, func() float64 {
		still, _, _ := m.settling.stalled()
		return still.Seconds()
	})
	metrics.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coinhook_pending_oldest_seconds",
		Help: "How long the oldest message of the stream that is not acknowledged has been waiting; 0 when none is.",
	}, func() float64 { return m.oldestAge().Seconds() })
	return m
}

// oldestAge goes on rising while the broker is away: nothing is settled then.
func (m *Monitor) oldestAge() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lookedAt.IsZero() {
		return 0
	}
	return m.waits + time.Since(m.lookedAt)
}

// Run looks until ctx is done.
func (m *Monitor) Run(ctx context.Context) error {
	tick := time.NewTicker(min(max(m.limit/4, lookAtMost), lookAtLeast))
	defer tick.Stop()
	complained := false
	for {
		err := m.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case err == nil:
			complained = false
		case !complained && m.conn.Connected():
			m.log.Warn().Err(err).Msg("cannot look at what is pending, trying again")
			complained = true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Monitor) look(ctx context.Context) error {
	if err := m.conn.WaitConnected(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	if m.stream == nil {
		s, err := m.conn.OpenStream(ctx)
		if err != nil {
			return err
		}
		m.stream = s
	}
	p, err := m.stream.Pending(ctx)
	if err != nil {
		return err
	}
	if err := m.lookAtOldest(ctx, p); err != nil {
		return err
	}
	if m.oldest.sequence == 0 {
		m.pending.Set(0)
		m.overdue.Set(0)
		m.tally = tally{}
		m.watchSettling(&p, 0)
		return nil
	}
	if p.Troubles, err = m.stream.troubles(ctx, p.At); err != nil {
		return err
	}
	// Its errors do not stop the watch over settling.
	err = m.count(ctx, p)
	pending := m.countPending(p)
	m.watchSettling(&p, pending)
	if err != nil {
		return err
	}
	m.pending.Set(float64(pending))
	m.overdue.Set(float64(m.countOverdue(p)))
	if len(m.overdueSpan(p)) == 0 {
		return nil
	}
	return m.warn(ctx, p)
}

// lookAtOldest finds the first message that is not acknowledged, and says how
// long it has been waiting.
func (m *Monitor) lookAtOldest(ctx context.Context, p Pending) error {
	if p.Incarnation != m.incarnation {
		m.incarnation, m.oldest, m.tally = p.Incarnation, storedMessage{}, tally{}
	}
	for m.oldest.sequence != p.First && p.First <= p.Last {
		message, ok, err := m.stream.Message(ctx, p.First)
		if err != nil {
			return err
		}
		if ok {
			m.oldest = storedMessage{p.First, message.StoredAt}
			break
		}
		p.First++ // its time in the stream ended a moment ago
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if p.First > p.Last {
		m.oldest, m.waits, m.lookedAt = storedMessage{}, 0, time.Time{}
		return nil
	}
	m.waits, m.lookedAt = max(p.At.Sub(m.oldest.at), 0), time.Now()
	return nil
}

// count reads what the messages carry that have come since the last look.
func (m *Monitor) count(ctx context.Context, p Pending) error {
	start := p.tallyStart(talliedAtMost)
	m.tally.startAt(start)
	from := m.tally.next()
	to := min(p.Last, from+m.atOnce-1, start+talliedAtMost-1)
	if from > to {
		return nil
	}
	err := m.stream.headersFrom(ctx, from, to, func(sequence uint64, at time.Time, c Count) bool {
		m.tally.put(sequence, at, c)
		return true
	})
	if err != nil {
		return fmt.Errorf("count what is pending: %w", err)
	}
	return nil
}

// countPending returns how many deliveries wait. What is not counted yet, and what
// may be any message of the gap, is taken as the average message.
func (m *Monitor) countPending(p Pending) int {
	unacked := p.unacked().and(m.tally.span())
	aside := p.asideIn(unacked)
	known := unacked.without(aside.messages)
	n := m.tally.sum(known).Pending() + aside.deliveries
	rest := p.AckPending + int(p.queued().len()) - int(unacked.len())
	return n + int(math.Round(float64(max(rest, 0))*m.tally.average()))
}

// tallyStart is where a tally of that many messages begins. A message that is set
// aside may hold the ack floor for weeks: where the messages from the floor on are
// too many, the tally begins at the first that waits for no known cause.
func (p Pending) tallyStart(atMost uint64) uint64 {
	if p.Last < p.First || p.Last-p.First < atMost {
		return p.First
	}
	if waiting := p.waitingSpans(); len(waiting) > 0 {
		return waiting[0].From
	}
	return p.Last + 1
}

// overdueSpan is what is overdue: a part of the tally, and what is before it.
func (m *Monitor) overdueSpan(p Pending) Spans {
	before := p.At.Add(-m.limit)
	last := m.tally.storedAfter(before) - 1
	if m.tally.first > p.First && last < m.tally.first {
		// Of the messages between these two nothing is known.
		if m.oldest.at.After(before) {
			return nil
		}
		last = p.First
	}
	return Spans{}.add(Span{p.First, last})
}

// countOverdue returns how many deliveries are overdue and have no outcome, as
// far as that is certain.
func (m *Monitor) countOverdue(p Pending) int {
	overdue := m.overdueSpan(p)
	unacked := p.unacked().and(overdue)
	aside := p.asideIn(unacked)
	n := m.tally.sum(unacked.without(aside.messages)).Pending() + aside.deliveries
	// Of the gap it may be unknown which messages are open, but not how many: at
	// least those that the part of it that is not overdue has no room for.
	gap := p.gap()
	open := p.AckPending - int(gap.without(overdue).len()) - int(unacked.and(gap).len())
	return n + max(open, 0)
}

// aside is what appliers have set aside. What else such a message carried is
// settled.
type aside struct {
	messages   Spans
	deliveries int
}

func (p Pending) asideIn(messages Spans) (a aside) {
	seen := map[TroubleAside]bool{}
	for _, t := range p.Troubles {
		for _, d := range t.Aside {
			key := TroubleAside{ID: d.ID, Sequence: d.Sequence} // two appliers may have had it
			if !messages.has(d.Sequence) || seen[key] {
				continue
			}
			seen[key] = true
			a.messages = a.messages.or(NewSpans(d.Sequence))
			a.deliveries++
		}
	}
	return a
}
