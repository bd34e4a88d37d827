package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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
	// trouble is why the broker does not confirm at the moment, nil while it does.
	trouble atomic.Pointer[error]

	batchDeliveries prometheus.Histogram
	storeSeconds    prometheus.Histogram
	attempts        *prometheus.CounterVec
}

// entry is one delivery on its way, and who waits for it.
type entry struct {
	ctx      context.Context
	deadline time.Time
	pb       *deliverypb.Delivery
	size     int
	done     chan error // buffered: the publisher never waits for a waiter
}

// NewPublisher returns a publisher. Run has to be running for Publish to work.
func NewPublisher(c *Conn, opts PublisherOptions) *Publisher {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultAttemptTimeout
	}
	metrics := promauto.With(opts.Metrics)
	return &Publisher{
		conn:    c,
		timeout: opts.Timeout,
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
			Help: "Attempts to store a message, by result: confirmed, refused or unknown.",
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
	entries := make([]*entry, len(all))
	for i, d := range all {
		entries[i] = &entry{ctx: ctx, deadline: deadline, pb: toProto(d), size: size(d), done: make(chan error, 1)}
		select {
		case p.queue <- entries[i]:
		case <-ctx.Done():
			return p.late(ctx)
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
		return p.late(ctx)
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
func (p *Publisher) late(ctx context.Context) error {
	if trouble := p.trouble.Load(); trouble != nil {
		return fmt.Errorf("not confirmed in time: %w", *trouble)
	}
	return fmt.Errorf("not confirmed in time: %w", context.Cause(ctx))
}

// Capture stores a sample of a draft webhook.
func (p *Publisher) Capture(ctx context.Context, d delivery.Delivery) error {
	data, err := encodeBatch([]*deliverypb.Delivery{toProto(d)})
	if err != nil {
		return fmt.Errorf("encode a sample: %w", err)
	}
	return p.store(ctx, samplesStream, &nats.Msg{Subject: samplesSubjectPrefix + d.WebhookID, Data: data}, d.ID.String())
}

// Run is the group commit. It returns once ctx is done and what was queued by
// then has been answered.
func (p *Publisher) Run(ctx context.Context) error {
	defer close(p.stopped)
	var next *entry
	for {
		if next == nil {
			select {
			case next = <-p.queue:
			case <-ctx.Done():
				select {
				case next = <-p.queue:
				default:
					return nil
				}
			}
		}
		var batch []*entry
		batch, next = p.collect(next)
		if len(batch) > 0 {
			err := p.storeBatch(batch)
			for _, e := range batch {
				e.done <- err
			}
		}
	}
}

// collect takes what is there, from first on. It returns the delivery that did
// not fit any more, if one was taken. Deliveries whose sender was answered
// already are left out: they are certain not to be stored.
func (p *Publisher) collect(first *entry) (batch []*entry, rest *entry) {
	bytes := 0
	for e := first; e != nil; {
		if e.ctx.Err() == nil {
			if len(batch) > 0 && bytes+e.size > maxBatchBytes {
				return batch, e
			}
			batch, bytes = append(batch, e), bytes+e.size
		}
		if len(batch) == maxBatchDeliveries {
			return batch, nil
		}
		select {
		case e = <-p.queue:
		default:
			e = nil
		}
	}
	return batch, nil
}

func (p *Publisher) storeBatch(batch []*entry) error {
	pbs := make([]*deliverypb.Delivery, len(batch))
	for i, e := range batch {
		pbs[i] = e.pb
	}
	data, err := encodeBatch(pbs)
	if err != nil {
		return fmt.Errorf("encode a batch: %w", err)
	}
	// The batch is tried for as long as the last of its senders waits.
	latest := batch[0].deadline
	for _, e := range batch[1:] {
		if e.deadline.After(latest) {
			latest = e.deadline
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), latest)
	defer cancel()
	p.batchDeliveries.Observe(float64(len(batch)))
	msg := &nats.Msg{Subject: deliveriesSubject, Data: data, Header: countHeaders(pbs)}
	id := messageID(pbs)
	if p.again {
		id = delivery.NewID().String()
	}
	return p.store(ctx, deliveriesStream, msg, id)
}

// messageID is what JetStream tells a message by that is published again. What a
// sender sent is in one message only, and its id stands for all of it. A replay
// keeps the delivery's id, and may be published again beside others than before:
// it goes by its own, and by all that travel with it.
func messageID(batch []*deliverypb.Delivery) string {
	replay := batch[0].GetReplay()
	switch {
	case replay == nil:
		return delivery.ID(batch[0].GetId()).String()
	case len(batch) == 1:
		return delivery.ID(replay.GetId()).String()
	}
	all := sha256.New()
	for _, pb := range batch {
		all.Write(pb.GetId())
		all.Write(pb.GetReplay().GetId())
	}
	return hex.EncodeToString(all.Sum(nil))
}

// store publishes until the broker confirms, refuses, or ctx is done. Each
// attempt has the same id: within JetStream's duplicate window a message that
// was stored although the answer got lost is stored once.
func (p *Publisher) store(ctx context.Context, stream string, msg *nats.Msg, id string) error {
	start := time.Now()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 10*time.Millisecond, 250*time.Millisecond
	for {
		attempt, cancel := context.WithTimeout(ctx, p.timeout)
		_, err := p.conn.js.PublishMsg(attempt, msg,
			jetstream.WithMsgID(id), jetstream.WithExpectStream(stream), jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			p.attempts.WithLabelValues("confirmed").Inc()
			p.storeSeconds.Observe(time.Since(start).Seconds())
			p.trouble.Store(nil)
			return nil
		}
		if refused(err) {
			p.attempts.WithLabelValues("refused").Inc()
			return fmt.Errorf("the stream %s refused: %w", stream, notSetUp(err))
		}
		p.attempts.WithLabelValues("unknown").Inc()
		if p.trouble.Load() == nil || !errors.Is(err, context.DeadlineExceeded) { // which tells the least
			err = notSetUp(err)
			p.trouble.Store(&err)
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
			return p.late(ctx)
		}
	}
}

// refused reports whether the broker has said no, and would say so again: the
// message is not stored. JetStream's "too many requests" and 5xx pass.
func refused(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code >= 400 && api.Code < 500 && api.Code != 429 && api.Code != 408 || api.ErrorCode == streamFull
	}
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrConnectionClosed)
}

// streamFull is the server's JSStreamStoreFailed, which DiscardNew answers with
// once MaxBytes is reached.
const streamFull jetstream.ErrorCode = 10077

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
