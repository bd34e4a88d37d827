package broker

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// A feed keeps at most so many messages and bytes of a partition on their way.
	feedMessages = 256
	feedBytes    = 2 << 20

	// feedExpires bounds how long the broker hands messages to an owner that is frozen.
	feedExpires   = 5 * time.Second
	feedHeartbeat = time.Second

	// feedCheckEvery is how often a feed compares its state with the broker's.
	feedCheckEvery = 5 * time.Second

	// ackSkippedEvery is how many messages of other partitions share an ack.
	ackSkippedEvery = 64
)

// Feed hands the deliveries of one partition to its owner, in the order of the
// stream. It acks a message once the owner has settled all of them, so that
// everything up to the consumer's ack floor has a row.
//
// Each session with the broker begins by a reset of the consumer to its ack floor.
// So the order holds whatever the owner before had read: nothing comes back later,
// behind newer messages.
type Feed struct {
	conn      *Conn
	partition delivery.Partition
	log       zerolog.Logger
	out       chan Received

	mu   sync.Mutex
	ends uint64 // the last sequence of the partition's generation, 0 for none
	// open are the messages of this session that are read and not acked, in order.
	open []*Receipt
	// before are those of the session before, by sequence, until they are redelivered.
	before  map[uint64]*Receipt
	acked   uint64 // the ack floor, as far as this feed knows
	ackedBy jetstream.Msg
	seen    uint64 // the newest message that was read
	behind  uint64 // messages in the stream after it
	sending bool   // a message waits for the owner
	active  bool   // a session is open
}

// Received is one message with its deliveries of the partition.
type Received struct {
	Receipt    *Receipt
	Deliveries []delivery.Delivery
}

// Receipt stands for a message until all of its deliveries are settled.
type Receipt struct {
	sequence uint64
	storedAt time.Time
	left     int  // deliveries that are not settled
	isOthers bool // it has none of the partition
	msg      jetstream.Msg
}

// NewFeed returns the feed of a partition. Run has to be running. Only the owner of
// the partition may have one: two would reset each other.
func (c *Conn) NewFeed(p delivery.Partition, log zerolog.Logger) *Feed {
	return &Feed{
		conn: c, partition: p, out: make(chan Received, 8),
		log: log.With().Int("generation", p.Generation).Int("partition", p.Index).Logger(),
	}
}

// C is where messages come from. It is never closed.
func (f *Feed) C() <-chan Received { return f.out }

// Run reads until ctx is done.
func (f *Feed) Run(ctx context.Context) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, time.Second
	complained := false
	for ctx.Err() == nil {
		began := time.Now()
		err := f.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > wait.MaxInterval {
			wait.Reset()
			complained = false
		}
		if !complained && f.conn.Connected() {
			f.log.Warn().Err(notSetUp(err)).Msg("cannot read a partition, trying again")
			complained = true
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
		}
	}
	return nil
}

// session reads until the connection is lost or something is not as it should be.
func (f *Feed) session(ctx context.Context) error {
	if err := f.conn.WaitConnected(ctx); err != nil {
		return err
	}
	ctx, done := f.conn.whileConnected(ctx)
	defer done()
	incarnation, err := f.conn.Incarnation(ctx)
	if err != nil {
		return err
	}
	name := f.partition.Name()
	consumer, err := patiently(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return f.conn.js.Consumer(ctx, deliveriesStream, name)
	})
	if err != nil {
		return fmt.Errorf("open the consumer %s: %w", name, err)
	}
	reset, err := f.reset(ctx, consumer.CachedInfo())
	if err != nil {
		return fmt.Errorf("reset the consumer %s: %w", name, err)
	}
	f.begin(reset.ResetSeq-1, reset.NumPending)
	defer f.end()

	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := uint64(1) // a reset makes the consumer count from 1
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		if reading.Err() != nil {
			return
		}
		if err := f.receive(reading, msg, incarnation, &next); err != nil {
			stop(err)
		}
	},
		// Do not limit a Fetch by bytes: with a replicated consumer the status that ends it
		// overtakes its messages. Consume goes on after such a status.
		jetstream.PullMaxMessagesWithBytesLimit(feedMessages, feedBytes),
		jetstream.PullExpiry(feedExpires), jetstream.PullHeartbeat(feedHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { stop(err) }))
	if err != nil {
		return fmt.Errorf("read the consumer %s: %w", name, err)
	}
	defer func() {
		consuming.Stop()
		<-consuming.Closed()
	}()
	return f.watch(reading, consumer)
}

// reset has the broker begin again behind the ack floor.
func (f *Feed) reset(ctx context.Context, was *jetstream.ConsumerInfo) (*jetstream.ConsumerResetResponse, error) {
	sequence := uint64(0) // behind the floor
	if was.AckFloor.Stream+1 < was.Config.OptStartSeq {
		sequence = was.Config.OptStartSeq // in a cluster the floor is 0 before the first ack
	}
	return patiently(ctx, func(ctx context.Context) (*jetstream.ConsumerResetResponse, error) {
		if sequence > 0 {
			return f.conn.js.ResetConsumerToSequence(ctx, deliveriesStream, was.Name, sequence)
		}
		return f.conn.js.ResetConsumer(ctx, deliveriesStream, was.Name)
	})
}

// watch compares the feed with the broker's consumer until reading ends.
func (f *Feed) watch(reading context.Context, consumer jetstream.Consumer) error {
	tick := time.NewTicker(feedCheckEvery)
	defer tick.Stop()
	var before suspicion
	for {
		select {
		case <-reading.Done():
			return context.Cause(reading)
		case <-tick.C:
		}
		info, err := consumer.Info(reading)
		if err != nil {
			continue // the broker's absence is seen by others
		}
		now := f.suspect(info)
		if now != (suspicion{}) && now == before {
			return fmt.Errorf("the broker's consumer has read up to message %d and acked up to %d, this applier %d and %d",
				info.Delivered.Stream, info.AckFloor.Stream, now.seen, now.acked)
		}
		before = now
	}
}

// suspicion is a state that should pass at once: messages went to somebody else, as
// to an owner before that was frozen, or acks were not counted.
type suspicion struct{ seen, acked uint64 }

func (f *Feed) suspect(info *jetstream.ConsumerInfo) suspicion {
	f.mu.Lock()
	defer f.mu.Unlock()
	lostMessages := info.Delivered.Stream > f.seen && !f.sending
	lostAcks := info.AckFloor.Stream < f.acked
	if lostMessages || lostAcks {
		return suspicion{f.seen, f.acked}
	}
	return suspicion{}
}

// begin starts a session at an ack floor.
func (f *Feed) begin(floor, behind uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = map[uint64]*Receipt{}
	for _, r := range f.open {
		f.before[r.sequence] = r
	}
	f.open, f.ackedBy = nil, nil
	f.acked, f.seen, f.behind, f.active = floor, floor, behind, true
}

// IsReading reports whether a session with the broker is open.
func (f *Feed) IsReading() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.active
}

func (f *Feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = false
}

var errGap = errors.New("messages are missing between two that came")

// receive takes one message. next is the consumer's own count of it.
func (f *Feed) receive(ctx context.Context, msg jetstream.Msg, incarnation string, next *uint64) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("a message without its position in the stream: %w", err)
	}
	if meta.Sequence.Consumer != *next {
		return fmt.Errorf("%w: number %d of the consumer, want %d", errGap, meta.Sequence.Consumer, *next)
	}
	*next++
	deliveries := f.decode(msg, meta, incarnation)
	r := f.track(msg, meta, len(deliveries))
	if r == nil || len(deliveries) == 0 {
		return nil
	}
	select {
	case f.out <- Received{r, deliveries}:
		f.sent(nil)
		return nil
	case <-ctx.Done():
		f.sent(r)
		return nil
	}
}

// decode returns the deliveries of a message that are in the partition. Most messages
// say in a header that they have none.
func (f *Feed) decode(msg jetstream.Msg, meta *jetstream.MsgMetadata, incarnation string) []delivery.Delivery {
	if counts, ok := slotsOf(msg.Headers()); ok && counts.in(f.partition) == 0 {
		return nil
	}
	all := decodeMessage(msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp, int(meta.NumDelivered))
	mine := all[:0]
	for i := range all {
		if f.partition.Has(all[i].InSlot()) {
			all[i].Incarnation = incarnation
			mine = append(mine, all[i])
		}
	}
	return mine
}

// track notes a message and returns its receipt. It returns nil where the owner has
// the message already, and behind the end of the generation.
func (f *Feed) track(msg jetstream.Msg, meta *jetstream.MsgMetadata, deliveries int) *Receipt {
	f.mu.Lock()
	defer f.mu.Unlock()
	sequence := meta.Sequence.Stream
	f.seen, f.behind = max(f.seen, sequence), meta.NumPending
	if f.ends > 0 && sequence > f.ends {
		return nil
	}
	if known := f.find(sequence); known != nil {
		known.msg = msg // redelivered: only the newest delivery can be acked
		return nil
	}
	old := f.before[sequence]
	delete(f.before, sequence)
	if old != nil && old.storedAt.Equal(meta.Timestamp) {
		old.msg = msg
		f.open = append(f.open, old)
		f.advance()
		return nil
	}
	r := &Receipt{sequence: sequence, storedAt: meta.Timestamp, left: deliveries, isOthers: deliveries == 0, msg: msg}
	f.open = append(f.open, r)
	if deliveries == 0 {
		f.advance()
	}
	f.sending = deliveries > 0
	return r
}

// find returns the open message with that sequence, or nil.
func (f *Feed) find(sequence uint64) *Receipt {
	i := sort.Search(len(f.open), func(i int) bool { return f.open[i].sequence >= sequence })
	if i < len(f.open) && f.open[i].sequence == sequence {
		return f.open[i]
	}
	return nil
}

// sent is told that the owner has taken a message, or that it has not taken lost.
func (f *Feed) sent(lost *Receipt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sending = false
	if n := len(f.open); lost != nil && n > 0 && f.open[n-1] == lost {
		f.open = f.open[:n-1]
	}
}

// Settled is told that so many deliveries of a message have rows.
func (f *Feed) Settled(r *Receipt, deliveries int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.left -= deliveries
	if r.left <= 0 {
		f.advance()
	}
}

// advance acks all messages up to the first that is not settled. Messages of other
// partitions share acks while more messages follow.
func (f *Feed) advance() {
	if !f.active {
		return // the next session redelivers what the broker does not know of
	}
	n, own := 0, false
	for n < len(f.open) && f.open[n].left <= 0 {
		own = own || !f.open[n].isOthers
		n++
	}
	if n == 0 || !own && f.behind > 0 && n < ackSkippedEvery {
		return
	}
	last := f.open[n-1]
	clear(f.open[:n])
	f.open = f.open[n:]
	f.acked, f.ackedBy = last.sequence, last.msg
	if err := last.msg.Ack(); err != nil {
		// The broker redelivers it, and its rows are known.
		f.log.Debug().Err(err).Uint64("stream_sequence", last.sequence).Msg("ack was not sent")
	}
}

// EndAt has the feed stop behind a message: the partition's generation ends there.
func (f *Feed) EndAt(sequence uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends = sequence
}

// IsFinished reports whether all up to the end of the generation has rows. The feed has
// to see that message, or one behind it. That none was behind the newest it has read
// does not count: more may have come since.
func (f *Feed) IsFinished() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ends == 0 || !f.active {
		return false
	}
	for _, r := range f.open {
		if r.sequence <= f.ends && r.left > 0 {
			return false
		}
	}
	for sequence := range f.before {
		if sequence <= f.ends {
			return false
		}
	}
	return f.seen >= f.ends
}

// Flush returns once the broker has counted the acks, so that the next owner begins
// behind them.
func (f *Feed) Flush(ctx context.Context) error {
	f.mu.Lock()
	msg := f.ackedBy
	f.mu.Unlock()
	if msg == nil {
		return nil
	}
	if _, err := f.conn.nc.RequestWithContext(ctx, msg.Reply(), []byte("+ACK")); err != nil {
		return fmt.Errorf("confirm the acks of partition %s: %w", f.partition, err)
	}
	return nil
}
