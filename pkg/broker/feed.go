package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// A partition that has had no delivery for restAfter reads what comes for the others
	// only now and then: to be woken up for each message costs more than to skip it. It
	// rests for a fiftieth of the time since its newest delivery, within these bounds. So
	// the longer a community was silent, the longer its next delivery may wait.
	restAfter = 250 * time.Millisecond
	restShare = 50
	restLeast = 10 * time.Millisecond
	restMost  = 100 * time.Millisecond

	// floorEvery is how often a floor that moves is written. Each write takes two fsyncs
	// at the broker, next to those of the stream.
	floorEvery = 250 * time.Millisecond
	// idleFloorEvery is how often a floor is written that has only skipped messages of
	// other partitions. Nothing waits for it but the audit.
	idleFloorEvery = time.Second
	// compareEvery is how often the written floor is read back.
	compareEvery = 5 * time.Second

	// feedReaderIdle is when the broker forgets the reader of an owner that was killed.
	feedReaderIdle = 10 * time.Second
)

// Feed hands the deliveries of one partition to its owner, in the order of the stream.
//
// It reads through a consumer of its own, in memory and without acks, which costs the
// broker little. The partition's durable consumer only keeps the floor: the feed moves
// it to the message up to which each delivery of the partition has a row. Acks would
// have the broker write the consumer's state, with two fsyncs, ten times a second and
// partition.
//
// An owner begins at the floor, however far the previous owner had read. So the
// order holds: no message is redelivered after newer ones.
type Feed struct {
	conn      *Conn
	partition delivery.Partition
	log       zerolog.Logger
	out       chan Received
	room      *semaphore.Weighted // bytes of messages in out
	tell      chan struct{}       // has an element if the floor is to be told

	// writing is held while the floor is written, so that writes stay in order.
	writing sync.Mutex
	written uint64

	mu   sync.Mutex
	ends uint64 // the last sequence of the partition's generation, 0 for none
	// open are the messages of this session that are read, from the first that is not
	// settled on.
	open []*Receipt
	// settled are those before open, from the written floor on: a session that follows
	// reads them again.
	settled []*Receipt
	// before are those of the session before, by sequence, until they are read again.
	before map[uint64]*Receipt
	floor  uint64 // all up to it is settled
	passed uint64 // the newest message up to floor that has deliveries of the partition
	seen   uint64 // the newest message that was read
	// came is when the newest delivery of the partition came.
	came   time.Time
	active bool // a session is open
	// connection is the number of the connection that the session has, or had. Behind
	// another one may be another stream: a broker that was restored from a backup.
	connection uint64
}

// Received is one message with its deliveries of the partition.
type Received struct {
	Receipt    *Receipt
	Deliveries []delivery.Delivery
	bytes      int64
}

// Receipt stands for a message until all of its deliveries are settled.
type Receipt struct {
	sequence uint64
	storedAt time.Time
	mine     bool // it has deliveries of the partition
	left     int  // those that are not settled
}

// NewFeed returns the feed of a partition. Run has to be running. Only the owner of
// the partition may have one.
func (c *Conn) NewFeed(p delivery.Partition, log zerolog.Logger) *Feed {
	return &Feed{
		conn: c, partition: p, out: make(chan Received, pullMessages), room: semaphore.NewWeighted(pullBytes), tell: make(chan struct{}, 1),
		log: log.With().Int("generation", p.Generation).Int("partition", p.Index).Logger(),
	}
}

// C is where messages come from. It is never closed. Call Took for each of them.
func (f *Feed) C() <-chan Received { return f.out }

// Took makes room for others.
func (f *Feed) Took(r Received) { f.room.Release(r.bytes) }

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
	// Read now: the session ends with a connection that is lost from here on.
	connection := f.conn.nc.Stats().Reconnects
	stream, err := f.conn.deliveries(ctx)
	if err != nil {
		return fmt.Errorf("read the state of the stream %s: %w", deliveriesStream, notSetUp(err))
	}
	incarnation, proof := incarnationOf(stream), f.conn.proofOf(stream)
	floor, err := f.readFloor(ctx)
	if err != nil {
		return err
	}
	reader, err := f.openReader(ctx, floor)
	if err != nil {
		return err
	}
	defer forgetReader(ctx, f.conn.js, reader.CachedInfo().Name)
	f.begin(floor, connection)
	defer f.end()

	messages, err := f.conn.newPull(deliveriesStream, reader.CachedInfo().Name)
	if err != nil {
		return fmt.Errorf("read the partition %s: %w", f.partition, err)
	}
	defer messages.close()
	g, reading := errgroup.WithContext(ctx)
	g.Go(func() error { return f.keepFloor(reading) })
	g.Go(func() error {
		next := uint64(1)
		return messages.run(reading, f.rests, func(msg *nats.Msg) error {
			if reading.Err() != nil { // a message before this one may not have been taken
				return context.Cause(reading)
			}
			return f.receive(reading, msg, incarnation, proof, &next)
		})
	})
	return g.Wait()
}

// rests is how long the partition rests before it reads on.
func (f *Feed) rests() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	silent := time.Since(f.came)
	if silent < restAfter {
		return 0
	}
	return min(max(silent/restShare, restLeast), restMost)
}

// openReader makes the consumer of this session.
func (f *Feed) openReader(ctx context.Context, floor uint64) (jetstream.Consumer, error) {
	id := delivery.NewID()
	cfg := jetstream.ConsumerConfig{
		Name:        fmt.Sprintf("%s%s-%x", readerPrefix, f.partition.Name(), id[8:]),
		Description: "Coinhook: an applier reads a partition.",
		AckPolicy:   jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: feedReaderIdle,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: floor + 1,
	}
	reader, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.Consumer, error) {
		return f.conn.js.CreateConsumer(ctx, deliveriesStream, cfg)
	})
	if err != nil {
		return nil, fmt.Errorf("make a reader of the partition %s: %w", f.partition, err)
	}
	return reader, nil
}

// begin starts a session behind a floor.
func (f *Feed) begin(floor, connection uint64) {
	f.writing.Lock()
	f.written = floor
	f.writing.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = map[uint64]*Receipt{}
	for _, r := range slices.Concat(f.settled, f.open) {
		// The floor may be ahead of what the feed knows: an answer was lost. Then it is
		// not read again.
		if r.sequence > floor {
			f.before[r.sequence] = r
		}
	}
	f.open, f.settled = nil, nil
	f.floor, f.passed, f.seen, f.active, f.connection = floor, 0, floor, true, connection
	f.came = time.Now()
}

func (f *Feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = false
}

var errGap = errors.New("messages are missing between two that came")

// receive takes one message. next is the consumer's own count of it.
func (f *Feed) receive(ctx context.Context, msg *nats.Msg, incarnation string, proof proof, next *uint64) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("a message without its position in the stream: %w", err)
	}
	if meta.Sequence.Consumer != *next {
		return fmt.Errorf("%w: number %d of the consumer, want %d", errGap, meta.Sequence.Consumer, *next)
	}
	*next++
	deliveries := f.decode(msg, meta, incarnation, proof)
	r := f.track(meta, len(deliveries))
	if r == nil || len(deliveries) == 0 {
		return nil
	}
	came := Received{r, deliveries, min(int64(len(msg.Data)), pullBytes)}
	if f.room.Acquire(ctx, came.bytes) != nil {
		f.untrack(r) // the next session reads it again
		return nil
	}
	select {
	case f.out <- came:
	case <-ctx.Done():
		f.Took(came)
		f.untrack(r)
	}
	return nil
}

// decode returns the deliveries of a message that the partition takes.
func (f *Feed) decode(msg *nats.Msg, meta *nats.MsgMetadata, incarnation string, proof proof) []delivery.Delivery {
	wanted := f.wants(msg.Header, !proof.keys.IsZero())
	if wanted == nil {
		return nil
	}
	mine := proof.decode(msg.Header, msg.Data, meta.Sequence.Stream, meta.Timestamp, int(meta.NumDelivered), wanted)
	// A genuine delivery of another partition is not this owner's to settle: the audit
	// finds it, and a repair publishes it again.
	mine = slices.DeleteFunc(mine, func(d delivery.Delivery) bool { return !f.isMine(&d) && !d.Unproven })
	for i := range mine {
		mine[i].Incarnation = incarnation
	}
	return mine
}

// wants returns which slots of a message the partition takes, nil for none. Most messages
// say in a header that they have nothing for it. No MAC covers the header. So the
// partition that the header names first checks it, and takes any forged deliveries that
// the header conceals from their own partitions. It decodes the message anyway.
func (f *Feed) wants(h nats.Header, checks bool) func(slot int) bool {
	counts, ok := slotsOf(h)
	switch {
	case !ok:
		return f.partition.Has
	case counts.in(f.partition) == 0:
		return nil
	case checks && f.partition.Has(counts[0].slot):
		return func(slot int) bool { return f.partition.Has(slot) || counts.hides(slot, f.partition.Count) }
	default:
		return f.partition.Has
	}
}

func (f *Feed) isMine(d *delivery.Delivery) bool { return f.partition.Has(d.InSlot()) }

// track notes a message and returns its receipt. It returns nil where the owner has
// the message already, and behind the end of the generation.
func (f *Feed) track(meta *nats.MsgMetadata, deliveries int) *Receipt {
	f.mu.Lock()
	defer f.mu.Unlock()
	sequence := meta.Sequence.Stream
	f.seen = max(f.seen, sequence)
	if f.ends > 0 && sequence > f.ends {
		return nil
	}
	old := f.before[sequence]
	delete(f.before, sequence)
	if old != nil && old.storedAt.Equal(meta.Timestamp) {
		f.open = append(f.open, old)
		f.advance()
		return nil
	}
	if deliveries > 0 {
		f.came = time.Now()
	}
	r := &Receipt{sequence: sequence, storedAt: meta.Timestamp, mine: deliveries > 0, left: deliveries}
	f.open = append(f.open, r)
	if deliveries == 0 {
		f.advance()
	}
	return r
}

// untrack is told the newest message, which the owner has not taken. So the generation
// does not end with it yet.
func (f *Feed) untrack(r *Receipt) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = min(f.seen, r.sequence-1)
	if n := len(f.open); n > 0 && f.open[n-1] == r {
		f.open = f.open[:n-1]
	}
}

// Settled records that this many deliveries of a message have rows.
func (f *Feed) Settled(r *Receipt, deliveries int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.left -= deliveries
	if r.left <= 0 {
		f.advance()
	}
}

// HasNoRoom is called by an owner that settles and has no room for more. The feed tells the
// ingresses the floor, so that they store more slowly.
func (f *Feed) HasNoRoom() {
	select {
	case f.tell <- struct{}{}:
	default:
	}
}

// EndAt makes the feed stop after a message: the partition's generation ends
// there.
func (f *Feed) EndAt(sequence uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends = sequence
}

// IsFinished reports whether all deliveries up to the end of the generation have rows.
// The session has to see the last message, or a later one, and so all before. To have
// read all that there was is not enough: more may have come since.
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
	return f.seen >= f.ends
}
