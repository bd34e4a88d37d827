package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

const (
	// A message carries at most so many deliveries, and so many bytes unless a
	// single body is larger.
	maxBatchDeliveries = 256
	maxBatchBytes      = 256 << 10

	// giveUpAfter is how long the broker may be away before new deliveries are
	// refused at once. A restart of the broker is shorter; then they wait.
	giveUpAfter = 2 * time.Second

	defaultAttemptTimeout = 2 * time.Second
	// defaultDeadline bounds a Publish whose context has no deadline.
	defaultDeadline = 5 * time.Second
)

var errStopping = errors.New("the publisher is stopping")

// PublisherOptions tune a Publisher; the zero value is usable.
type PublisherOptions struct {
	// Timeout is how long one attempt waits for the broker's confirmation.
	Timeout time.Duration
	// Again says that what is published is in the stream already. Each message has
	// an id of its own then: JetStream would take it for a repetition and drop it.
	Again   bool
	Log     zerolog.Logger
	Metrics prometheus.Registerer // nil for none
}

// Publisher stores deliveries by group commit: one message carries what arrived
// while the message before it was being stored. There is no timer: a lone
// delivery travels at once, and the more arrive the more share one fsync.
type Publisher struct {
	conn    *Conn
	timeout time.Duration
	again   bool
	log     zerolog.Logger
	queue   chan *entry
	stopped chan struct{}
	commit  commit // of the goroutine that runs Run
	// trouble is why the broker does not confirm at the moment, nil while it does.
	trouble atomic.Pointer[error]

	batchDeliveries prometheus.Histogram
	storeSeconds    prometheus.Histogram
	attempts        *prometheus.CounterVec
}

// entry is one delivery on its way, and the sender that waits for it.
type entry struct {
	ctx      context.Context
	deadline time.Time
	// lastStart is when the last attempt may start that still ends in time.
	lastStart time.Time
	pb        *deliverypb.Delivery
	size      int
	done      chan error // buffered: the publisher never waits for a waiter
}

// isLate reports whether an attempt that starts now could end only after the
// sender was answered.
func (e *entry) isLate(now time.Time) bool { return !now.Before(e.lastStart) || e.ctx.Err() != nil }

// NewPublisher returns a publisher. Run has to be running for Publish to work.
func NewPublisher(c *Conn, opts PublisherOptions) *Publisher {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultAttemptTimeout
	}
	metrics := promauto.With(opts.Metrics)
	return &Publisher{
		conn:    c,
		timeout: opts.Timeout,
		commit:  commit{wait: newAttemptBackOff()},
		again:   opts.Again,
		log:     opts.Log,
		queue:   make(chan *entry, 16*maxBatchDeliveries),
		stopped: make(chan struct{}),
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
			Help: "Attempts to store a message, by result: confirmed, refused, not_stored (and tried again) or unknown.",
		}, []string{"result"}),
	}
}

// Publish returns nil once the broker has confirmed the delivery as stored.
// After an error the outcome is unknown.
func (p *Publisher) Publish(ctx context.Context, d delivery.Delivery) error {
	return p.PublishAll(ctx, []delivery.Delivery{d})
}

// PublishAll is Publish for several, which are stored in their order. After an
// error each may be stored or not.
func (p *Publisher) PublishAll(ctx context.Context, all []delivery.Delivery) error {
	if away := p.conn.awayFor(); away > giveUpAfter {
		return fmt.Errorf("%w for %s", ErrNotConnected, away.Round(time.Second))
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		var cancel context.CancelFunc
		deadline = time.Now().Add(defaultDeadline)
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	// The last tenth of a sender's time is for an attempt to end in.
	lastStart := deadline.Add(-time.Until(deadline) / 10)
	entries := make([]*entry, len(all))
	for i, d := range all {
		entries[i] = &entry{ctx: ctx, deadline: deadline, lastStart: lastStart, pb: toProto(d), size: size(d), done: make(chan error, 1)}
		select {
		case p.queue <- entries[i]:
		case <-ctx.Done():
			return p.late(context.Cause(ctx))
		case <-p.stopped:
			return errStopping
		}
	}
	for _, e := range entries {
		if err := p.await(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// await waits for the broker's word on what was queued.
func (p *Publisher) await(ctx context.Context, e *entry) error {
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		return p.late(context.Cause(ctx))
	case <-p.stopped:
		// Run has answered everybody it took; this one came too late to be taken.
		select {
		case err := <-e.done:
			return err
		default:
			return errStopping
		}
	}
}

// late says why there was no confirmation in time.
func (p *Publisher) late(cause error) error {
	if trouble := p.trouble.Load(); trouble != nil {
		cause = *trouble
	}
	return fmt.Errorf("not confirmed in time: %w", cause)
}

// size estimates what a delivery adds to its message.
func size(d delivery.Delivery) int {
	n := len(d.Body) + 64
	for _, h := range d.Headers {
		n += len(h.Name) + len(h.Value) + 6
	}
	if d.First != nil {
		n += len(d.First.Incarnation) + 16
	}
	if d.Replay != nil {
		n += len(d.Replay.RequestedBy) + len(d.Replay.Note) + 64
	}
	return n
}
