package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// pullMessages is the most that one pull asks for: with one delivery a message
	// it is a full batch. Of large messages a pull asks for fewer, see pullSize:
	// pullBytes is some ten batches of full messages.
	pullMessages = 256
	pullBytes    = 2 << 20
	pullExpires  = 5 * time.Second

	// lowWater is how many deliveries may wait in memory before the next pull.
	// What waits here cannot be taken by another applier.
	lowWater = 2 * maxBatchDeliveries

	// The same in bytes of messages, and how many are handed out at once: bodies may be
	// as large as the broker takes, and a batch goes through PostgreSQL as one.
	lowWaterBytes = 16 << 20
	handedBytes   = 8 << 20

	giveBackDelay = 100 * time.Millisecond
	parkedFor     = 200 * time.Millisecond
)

// Handler settles a batch and returns one verdict per delivery, in order.
type Handler func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict

// ConsumerOptions tune a Consumer.
type ConsumerOptions struct {
	Log     zerolog.Logger
	Metrics prometheus.Registerer // nil for none
}

// Consumer hands deliveries to a handler in batches, in the order of the
// stream, and acks what is settled. Nothing else acks.
type Consumer struct {
	conn   *Conn
	log    zerolog.Logger
	handle Handler
	source source // used by the goroutine that pulls

	mu       sync.Mutex
	queue    []*message // pulled, not yet handed out
	waiting  int        // deliveries in queue
	bytes    int        // of messages in queue
	typical  int        // bytes of a message, by those that came last
	working  []*message // handed out, not yet acked
	arrived  chan struct{}
	consumed chan struct{}

	batchDeliveries prometheus.Histogram
	settled         prometheus.Counter
	retried         prometheus.Counter
}

// message is one message of the stream with its deliveries. It is acked as a
// whole once all of them are settled.
type message struct {
	msg        jetstream.Msg
	sequence   uint64
	deliveries []delivery.Delivery
}

func (m *message) bytes() int { return len(m.msg.Data()) }

// NewConsumer returns a consumer that has handle settle what it pulls.
func NewConsumer(c *Conn, handle Handler, opts ConsumerOptions) *Consumer {
	metrics := promauto.With(opts.Metrics)
	return &Consumer{
		conn: c, log: opts.Log, handle: handle, source: source{conn: c},
		typical:  maxBatchBytes,
		arrived:  make(chan struct{}, 1),
		consumed: make(chan struct{}, 1),
		batchDeliveries: metrics.NewHistogram(prometheus.HistogramOpts{
			Name:    "coinhook_consume_batch_deliveries",
			Help:    "Deliveries handed to the applier at once.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 10),
		}),
		settled: metrics.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_consume_acked_messages_total",
			Help: "Messages whose deliveries are all settled.",
		}),
		retried: metrics.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_consume_retried_batches_total",
			Help: "Batches that could not be settled and were tried again.",
		}),
	}
}

// Run consumes until ctx is done. The batch under way is finished then, and
// what waits is given back at once.
func (c *Consumer) Run(ctx context.Context) error {
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return c.pull(running) })
	g.Go(func() error { return c.settle(running) })
	g.Go(func() error { return c.keepAlive(running) })
	err := g.Wait()
	giveBack(c.queue)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// pull keeps the queue above the low-water mark. While the handler cannot
// settle, the queue stays full and nothing is pulled.
func (c *Consumer) pull(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, time.Second
	complained := false
	for ctx.Err() == nil {
		if !c.belowLowWater() {
			select {
			case <-c.consumed:
			case <-ctx.Done():
			}
			continue
		}
		got, err := c.pullOnce(ctx)
		if ctx.Err() != nil {
			break
		}
		if err == nil || got {
			wait.Reset()
			complained = false
			continue
		}
		if !complained && c.conn.Connected() {
			c.log.Warn().Err(notSetUp(err)).Msg("cannot pull deliveries, trying again")
			complained = true
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
		}
	}
	return nil
}

func (c *Consumer) pullOnce(ctx context.Context) (got bool, err error) {
	if err := c.conn.WaitConnected(ctx); err != nil {
		return false, err
	}
	consumer, err := patiently(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return c.conn.js.Consumer(ctx, deliveriesStream, applierConsumer)
	})
	if err != nil {
		return false, err
	}
	if err := c.source.opened(ctx, consumer.CachedInfo()); err != nil {
		return false, err
	}
	// The broker forgets a pull with its connection: waiting for the end of one
	// that was cut off would be waiting for nothing.
	ctx, done := c.conn.whileConnected(ctx)
	defer done()
	for ctx.Err() == nil {
		n, err := c.receive(ctx, consumer)
		got = got || n > 0
		if err != nil {
			return got, err
		}
		if !c.belowLowWater() {
			return got, nil
		}
	}
	return got, context.Cause(ctx)
}

// receive makes one pull and queues what it brings, as it comes.
//
// Do not limit a pull by bytes (FetchMaxBytes, FetchBytes). The server ends such
// a pull with the status 409 "Batch Completed" as soon as it has chosen the
// pull's messages. The messages of a replicated consumer leave only after a
// quorum knows of them, so the status overtakes them. Fetch ends at the status
// and drops what follows. The messages are redelivered after AckWait, to a pull
// that ends the same way: nothing is ever settled.
func (c *Consumer) receive(ctx context.Context, consumer jetstream.Consumer) (n int, err error) {
	// The context ends the pull at the broker too; else it would go on taking
	// messages that nobody reads.
	ctx, cancel := context.WithTimeout(ctx, pullExpires)
	defer cancel()
	batch, err := consumer.Fetch(c.pullSize(), jetstream.FetchContext(ctx))
	if err != nil {
		return 0, err
	}
	for msg := range batch.Messages() {
		n++
		if err := c.enqueue(ctx, msg); err != nil {
			return n, err
		}
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return n, err
	}
	return n, nil
}

func (c *Consumer) enqueue(ctx context.Context, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("a message without its place in the stream: %w", err)
	}
	incarnation, err := c.source.of(ctx, meta)
	if err != nil {
		return err
	}
	m := &message{
		msg:        msg,
		sequence:   meta.Sequence.Stream,
		deliveries: decodeMessage(msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp, int(meta.NumDelivered)),
	}
	for i := range m.deliveries {
		m.deliveries[i].Incarnation = incarnation
	}
	c.mu.Lock()
	c.queue = append(c.queue, m)
	c.waiting += len(m.deliveries)
	c.bytes += m.bytes()
	c.typical = nextTypical(c.typical, m.bytes())
	c.mu.Unlock()
	signal(c.arrived)
	return nil
}

// pullSize is how many messages the next pull asks for. It brings about
// pullBytes, and no more than is left below the low-water mark, if its messages
// are of the typical size. They may be larger: the server's limit of 1 MiB a
// message bounds what one pull brings to 256 MiB, and the pull after it is
// small.
func (c *Consumer) pullSize() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	room := min(pullBytes, lowWaterBytes-c.bytes)
	return min(max(room/c.typical, 1), pullMessages)
}

// nextTypical follows the sizes of messages: a larger one at once, smaller ones
// step by step. The step is rounded up, so that it arrives.
func nextTypical(typical, bytes int) int {
	if bytes >= typical {
		return bytes
	}
	return max(typical-(typical-bytes+15)/16, 1)
}

func (c *Consumer) belowLowWater() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting < lowWater && c.bytes < lowWaterBytes
}

// settle hands out batches and acts on their verdicts.
func (c *Consumer) settle(ctx context.Context) error {
	for {
		batch := c.take()
		if batch == nil {
			select {
			case <-c.arrived:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if !c.settleBatch(ctx, batch) {
			return nil
		}
	}
}

// take moves what is there, up to a batch of deliveries, from the queue to the
// work in hand. A message is never split.
func (c *Consumer) take() []*message {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, deliveries, bytes := 0, 0, 0
	for _, m := range c.queue {
		if n > 0 && (deliveries+len(m.deliveries) > maxBatchDeliveries || bytes+m.bytes() > handedBytes) {
			break
		}
		n, deliveries, bytes = n+1, deliveries+len(m.deliveries), bytes+m.bytes()
	}
	if n == 0 {
		return nil
	}
	c.working = slices.Clone(c.queue[:n])
	c.queue = slices.Delete(c.queue, 0, n)
	c.waiting -= deliveries
	c.bytes -= bytes
	// A message that comes back is behind later ones in the queue.
	slices.SortFunc(c.working, func(a, b *message) int {
		return delivery.Position{Sequence: a.sequence}.Compare(delivery.Position{Sequence: b.sequence})
	})
	signal(c.consumed)
	return c.working
}

// settleBatch has the batch settled, however long that takes, and acks message
// by message. It reports false when ctx ended before all was settled.
func (c *Consumer) settleBatch(ctx context.Context, batch []*message) bool {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 2*time.Second
	for {
		var deliveries []delivery.Delivery
		for _, m := range batch {
			deliveries = append(deliveries, m.deliveries...)
		}
		c.batchDeliveries.Observe(float64(len(deliveries)))
		// What was begun is finished: stopping half-way would only cost a
		// redelivery.
		verdicts := c.handle(context.WithoutCancel(ctx), deliveries)
		rest, after := c.act(batch, verdicts)
		c.setWorking(rest)
		if len(rest) == 0 {
			return true
		}
		c.retried.Inc()
		batch = rest
		select {
		case <-time.After(max(after, wait.NextBackOff())):
		case <-ctx.Done():
			giveBack(rest)
			return false
		}
	}
}

// act acks the messages whose deliveries are all settled, and hands those back
// for later that nothing but deliveries set aside keeps open: the ones behind do
// not wait for them. It returns the others and how long to wait before they are
// tried again.
func (c *Consumer) act(batch []*message, verdicts []delivery.Verdict) (rest []*message, after time.Duration) {
	for _, m := range batch {
		mine := verdicts[:len(m.deliveries)]
		verdicts = verdicts[len(m.deliveries):]
		pause, aside := openOf(mine)
		if pause > 0 && aside {
			if err := m.msg.NakWithDelay(pause); err != nil {
				c.log.Debug().Err(err).Uint64("stream_sequence", m.sequence).Msg("could not be set aside, AckWait gives it back")
			}
			continue
		}
		if pause > 0 {
			rest = append(rest, m)
			after = max(after, pause)
			continue
		}
		c.settled.Inc()
		if err := m.msg.Ack(); err != nil {
			// It comes back after AckWait and is known by its rows.
			c.log.Debug().Err(err).Uint64("stream_sequence", m.sequence).Msg("ack was not sent")
		}
	}
	return rest, after
}

// openOf says how long a message with these verdicts has to wait, 0 when all are
// settled, and whether all that are not are set aside. A delivery that is set
// aside does not make the others of its message wait: its pause counts only
// where all are set aside.
func openOf(verdicts []delivery.Verdict) (pause time.Duration, aside bool) {
	var retried, asides time.Duration
	for _, v := range verdicts {
		switch {
		case v.IsSettled():
		case v.Parked:
			asides = max(asides, parkedFor)
		default:
			retried = max(retried, v.RetryAfter)
		}
	}
	if retried > 0 {
		return retried, false
	}
	return asides, true
}

func (c *Consumer) setWorking(rest []*message) {
	c.mu.Lock()
	c.working = rest
	c.mu.Unlock()
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
