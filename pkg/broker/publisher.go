package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// A message carries at most this many deliveries, and this many bytes
	// unless a single body is larger.
	maxBatchDeliveries = 256
	maxBatchBytes      = 256 << 10

	// giveUpAfter is how long the broker may be away before new deliveries are
	// refused at once. A restart of the broker is shorter; then they wait.
	giveUpAfter = 2 * time.Second

	defaultAttemptTimeout = 2 * time.Second
	defaultDeadline       = 5 * time.Second
)

var (
	errStopping = errors.New("the publisher is stopping")
	// A malformed delivery that is published again would be read as a good one.
	errMalformed = errors.New("it is malformed, and nothing would come of it")
)

// PublisherOptions tune a Publisher; the zero value is usable.
type PublisherOptions struct {
	// Timeout is how long one attempt waits for the broker's confirmation.
	Timeout time.Duration
	// Deadline is the longest wait of a sender whose context has no deadline.
	Deadline time.Duration
	// Again says that the deliveries are in the stream already. Then each message
	// gets a new id, because JetStream would drop a repeated one.
	Again bool
	// Backpressure holds senders to the pace of appliers without room for more.
	Backpressure bool
	Log          zerolog.Logger
	Metrics      prometheus.Registerer // nil for none
}

// Publisher stores deliveries by group commit: one message carries what arrived while
// the previous message was being stored, or in up to 4 ms since that began, or 50 ms with
// back-pressure. A single delivery travels at once. The more arrive, the more share one fsync.
type Publisher struct {
	conn    *Conn
	timeout time.Duration
	again   bool
	log     zerolog.Logger
	// deadline bounds a Publish whose context has no deadline.
	deadline time.Duration
	queue    queue
	entries  sync.Pool
	pressure *backpressure // nil for none
	commit   commit        // of the goroutine that runs Run
	// trouble is why the broker does not confirm at the moment, nil while it does.
	trouble atomic.Pointer[error]

	batchDeliveries prometheus.Histogram
	storeSeconds    prometheus.Histogram
	attempts        *prometheus.CounterVec
	heldSeconds     prometheus.Counter
}

// entry is one delivery on its way, and the sender that waits for it.
type entry struct {
	encoded
	ctx      context.Context
	came     time.Time
	deadline time.Time
	// lastStart is when the last attempt may start that still ends in time.
	lastStart time.Time
	// done has room for one answer, the first: nobody waits to give one.
	done chan error
	// timer answers at the deadline if ctx has none. A context of its own would cost
	// each request five objects.
	timer *time.Timer
	timed bool
}

// errExpired is the timer's answer.
var errExpired = errors.New("the sender's time is over")

// answer is the last that the publisher does with an entry: the sender may use it
// again at once.
func (e *entry) answer(err error) {
	select {
	case e.done <- err:
	default:
	}
}

func (e *entry) expire() { e.answer(errExpired) }

// isLate reports whether an attempt that starts now could end only after the
// sender was answered.
func (e *entry) isLate(now time.Time) bool { return !now.Before(e.lastStart) || e.ctx.Err() != nil }

// NewPublisher returns a publisher. Run has to be running for Publish to work.
func NewPublisher(c *Conn, opts PublisherOptions) *Publisher {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultAttemptTimeout
	}
	if opts.Deadline <= 0 {
		opts.Deadline = defaultDeadline
	}
	metrics := promauto.With(opts.Metrics)
	p := &Publisher{
		conn:     c,
		timeout:  opts.Timeout,
		deadline: opts.Deadline,
		commit:   commit{wait: newAttemptBackOff()},
		again:    opts.Again,
		log:      opts.Log,
		queue:    queue{filled: make(chan struct{}, 1)},
		batchDeliveries: metrics.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_publish_batch_deliveries",
			Help:    "Deliveries that shared one message.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		storeSeconds: metrics.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_publish_store_seconds",
			Help:    "Time from publishing a message to the broker's confirmation, all attempts together.",
			Buckets: prometheus.ExponentialBuckets(0.000125, 2, 16),
		}),
		attempts: metrics.NewCounterVec(prometheus.CounterOpts{
			Name: "coinhook_publish_attempts_total",
			Help: "Attempts to store a message, by result: confirmed, refused, not_stored (and retried) or unknown.",
		}, []string{"result"}),
		heldSeconds: metrics.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_publish_held_seconds_total",
			Help: "Time for which an ingress held messages back because appliers had no room for more.",
		}),
	}
	if opts.Backpressure {
		p.pressure = newBackpressure()
	}
	return p
}

// Publish returns nil once the broker has confirmed the delivery as stored.
// After an error the outcome is unknown: the body may still be read.
func (p *Publisher) Publish(ctx context.Context, d delivery.Delivery) error {
	if err := p.checkConnected(); err != nil {
		return err
	}
	e, err := p.newEntry(ctx, time.Now(), &d)
	if err != nil {
		return err
	}
	if !p.queue.add(e) {
		return errStopping
	}
	return p.await(ctx, e)
}

// PublishAll is Publish for several, which are stored in their order. After an
// error each may be stored or not.
func (p *Publisher) PublishAll(ctx context.Context, all []delivery.Delivery) error {
	if err := p.checkConnected(); err != nil {
		return err
	}
	entries, now := make([]*entry, len(all)), time.Now()
	for i := range all {
		var err error
		if entries[i], err = p.newEntry(ctx, now, &all[i]); err != nil {
			return err
		}
	}
	if !p.queue.add(entries...) {
		return errStopping
	}
	for _, e := range entries {
		if err := p.await(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (p *Publisher) checkConnected() error {
	if away := p.conn.awayFor(); away > giveUpAfter {
		return fmt.Errorf("%w for %s", ErrNotConnected, away.Round(time.Second))
	}
	return nil
}

// newEntry takes an entry whose sender has its answer, or makes one.
func (p *Publisher) newEntry(ctx context.Context, now time.Time, d *delivery.Delivery) (*entry, error) {
	e, ok := p.entries.Get().(*entry)
	if !ok {
		e = &entry{done: make(chan error, 1)}
	}
	if d.Malformed != "" {
		return nil, fmt.Errorf("publish the delivery %s: %w", d.ID, errMalformed)
	}
	if err := e.encode(d); err != nil {
		return nil, fmt.Errorf("encode the delivery %s: %w", d.ID, err)
	}
	if keys := p.conn.deliveryKeys; !keys.IsZero() {
		e.sign(keys)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = now.Add(p.deadline)
		e.startTimer(p.deadline)
	}
	e.ctx, e.came, e.deadline = ctx, now, deadline
	// The last tenth of a sender's time is for an attempt to end in.
	e.lastStart = deadline.Add(-deadline.Sub(now) / 10)
	return e, nil
}

func (e *entry) startTimer(wait time.Duration) {
	e.timed = true
	if e.timer == nil {
		e.timer = time.AfterFunc(wait, e.expire)
	} else {
		e.timer.Reset(wait)
	}
}

// await waits for the broker's word on what was queued.
func (p *Publisher) await(ctx context.Context, e *entry) (err error) {
	if gone := ctx.Done(); gone == nil {
		err = <-e.done
	} else {
		select {
		case err = <-e.done:
		case <-gone:
			return p.late(context.Cause(ctx))
		}
	}
	if errors.Is(err, errExpired) {
		return p.late(context.DeadlineExceeded)
	}
	// Whose timer has fired is left alone: the timer may be about to answer.
	if !e.timed || e.timer.Stop() {
		e.ctx, e.body, e.replay, e.timed = nil, nil, nil, false
		p.entries.Put(e)
	}
	return err
}

// late says why there was no confirmation in time.
func (p *Publisher) late(cause error) error {
	if trouble := p.trouble.Load(); trouble != nil {
		cause = *trouble
	}
	return fmt.Errorf("not confirmed in time: %w", NameAway(cause))
}

// queue holds what senders have handed in and Run has not taken.
type queue struct {
	mu      sync.Mutex
	entries []*entry
	closed  bool
	filled  chan struct{} // has an element if there may be entries
}

// add keeps the order. It returns false once Run has ended.
func (q *queue) add(all ...*entry) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	wake := len(q.entries) == 0
	q.entries = append(q.entries, all...)
	q.mu.Unlock()
	if wake {
		select {
		case q.filled <- struct{}{}:
		default:
		}
	}
	return true
}

// takeInto moves what is queued behind what waits already.
func (q *queue) takeInto(waiting []*entry) []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting = append(waiting, q.entries...)
	clear(q.entries)
	q.entries = q.entries[:0]
	return waiting
}

// close returns false, and takes more, if something is queued.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = len(q.entries) == 0
	return q.closed
}
