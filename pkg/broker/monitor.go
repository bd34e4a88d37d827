package broker

import (
	"context"
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
)

// MonitorOptions say what a Monitor looks for.
type MonitorOptions struct {
	// Limit is how long a delivery may be pending before it is overdue.
	Limit   time.Duration
	Log     zerolog.Logger
	Metrics prometheus.Registerer // nil for none
}

// Monitor watches pending deliveries. It asks only the broker, so it works while
// all appliers are stopped and PostgreSQL is down. Every service runs one, and
// they agree who warns.
type Monitor struct {
	conn    *Conn
	limit   time.Duration
	log     zerolog.Logger
	overdue prometheus.Gauge
	pending prometheus.Gauge

	settling settling

	stream *Stream            // opened by the first look
	state  jetstream.KeyValue // opened by the first warning

	mu       sync.Mutex    // guards what follows
	waits    time.Duration // how long the oldest message had waited at the last check
	lookedAt time.Time
}

// estimated is the part of a help that says how the count is made.
const estimated = "Beyond the first 1,000 messages they are estimated from the mean of those."

// NewMonitor returns a monitor for Run.
func NewMonitor(c *Conn, opts MonitorOptions) *Monitor {
	metrics := promauto.With(opts.Metrics)
	m := &Monitor{
		conn: c, limit: opts.Limit, log: opts.Log,
		overdue: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_pending_overdue_deliveries",
			Help: "Deliveries in the stream that have been pending for longer than PENDING_LIMIT. " + estimated,
		}),
		pending: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_pending_deliveries",
			Help: "Deliveries in the stream that wait to be settled. " + estimated,
		}),
	}
	metrics.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coinhook_settling_stalled_seconds",
		Help: "How long a partition has settled nothing although its deliveries wait and no cause is known; 0 while settling goes on.",
	}, func() float64 {
		still, _, _ := m.settling.stalled()
		return still.Seconds()
	})
	metrics.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "coinhook_pending_oldest_seconds",
		Help: "How long the oldest message with an unsettled delivery has been waiting in the stream; 0 if there is none.",
	}, func() float64 { return m.oldestAge().Seconds() })
	return m
}

// oldestAge goes on rising while the broker is down: nothing is settled then.
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
			m.log.Warn().Err(err).Msg("cannot check what is pending, retrying")
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
	q, err := m.stream.Queue(ctx, p, m.limit)
	if err != nil {
		return err
	}
	m.show(p, q)
	if q.Oldest.IsZero() {
		m.watchSettling(&p, q)
		return nil
	}
	if p.Troubles, err = m.stream.troubles(ctx, p.At); err != nil {
		return err
	}
	m.watchSettling(&p, q)
	if q.Overdue.Deliveries == 0 {
		return nil
	}
	return m.warn(ctx, p, q)
}

func (m *Monitor) show(p Pending, q Queue) {
	m.pending.Set(float64(q.All.Pending()))
	m.overdue.Set(float64(q.Overdue.Pending()))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waits, m.lookedAt = 0, time.Time{}
	if !q.Oldest.IsZero() {
		m.waits, m.lookedAt = max(p.At.Sub(q.Oldest), 0), time.Now()
	}
}
