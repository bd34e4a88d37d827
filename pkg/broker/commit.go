package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// A sender that gets a 503 retries, so few such deliveries may be stored. The group
// commit ensures it in three ways:
//
//   - One message is in flight. Deliveries behind it are certainly not stored when
//     the time of their senders ends.
//   - A message that certainly was not stored is taken apart. Senders whose time is
//     over leave it, and new ones join.
//   - A message that may have been stored is published again unchanged: another
//     message with the same deliveries would store them twice. The next message carries
//     one delivery. Full messages follow once the broker has confirmed that one.

// commit is the state of the group commit.
type commit struct {
	waiting []*entry // taken from the queue, in the order of their arrival
	// batch and data are the memory of the message before.
	batch []*entry
	data  []byte
	// begun is when the message before was published. before is how many deliveries it had.
	begun  time.Time
	before int
	// doubtful says that the broker has left an attempt without an answer, and has
	// confirmed nothing since.
	doubtful bool
	wait     *backoff.ExponentialBackOff // between attempts
}

// Run is the group commit. It returns once ctx is done and what was queued by
// then has been answered.
func (p *Publisher) Run(ctx context.Context) error {
	if p.pressure != nil {
		stop, err := p.conn.OnFloor(func(partition delivery.Partition, floor uint64) {
			p.pressure.settled(partition, floor, time.Now())
		})
		if err != nil {
			return err
		}
		defer stop()
	}
	for {
		p.commit.waiting = p.queue.takeInto(p.commit.waiting)
		if len(p.commit.waiting) > 0 {
			p.awaitOthers()
			if batch := p.collect(); len(batch) > 0 {
				p.storeBatch(batch)
			}
			continue
		}
		select {
		case <-p.queue.filled:
		case <-ctx.Done():
			if p.queue.close() {
				return nil
			}
		}
	}
}

const (
	// While several deliveries travel together, a message follows the one before after
	// messageEach for each delivery of that one, messageMost at the most, or once it has
	// messageFull. So messages grow above a thousand deliveries a second, and shrink below.
	// Each message costs the broker an fsync, and wakes up the ingress, the broker and
	// each applier.
	messageEach = time.Millisecond
	messageMost = 4 * time.Millisecond
	messageFull = 32
)

// awaitOthers gives the next message time to fill. A sender that is alone does not wait.
func (p *Publisher) awaitOthers() {
	if p.commit.before <= 1 || p.commit.doubtful {
		return
	}
	rest, full := p.fill(time.Now())
	if rest <= 0 {
		return
	}
	enough := time.NewTimer(rest)
	defer enough.Stop()
	for len(p.commit.waiting) < full {
		select {
		case <-p.queue.filled:
			p.commit.waiting = p.queue.takeInto(p.commit.waiting)
		case <-enough.C:
			return
		}
	}
}

// fill is how long the next message may fill from now on, unless it is full before. While
// appliers have no room, it waits for their pace, unless more deliveries wait than it can
// carry: then the senders are many, and most of them would wait for nothing.
func (p *Publisher) fill(now time.Time) (rest time.Duration, full int) {
	since := now.Sub(p.commit.begun)
	rest, full = min(time.Duration(p.commit.before)*messageEach, messageMost)-since, messageFull
	if p.pressure == nil || len(p.commit.waiting) > maxBatchDeliveries {
		return rest, full
	}
	most := min(holdMost, p.deadline/10)
	held := min(p.pressure.hold(p.commit.before, now)-since, most-now.Sub(p.commit.waiting[0].came))
	more := held - max(rest, 0)
	if more <= 0 {
		return rest, full
	}
	p.heldSeconds.Add(more.Seconds())
	return held, maxBatchDeliveries + 1
}

// collect takes the deliveries of the next message from those that are there.
// It answers senders whose time is over: their deliveries are certainly not stored.
func (p *Publisher) collect() []*entry {
	if p.commit.doubtful {
		return p.collectOne()
	}
	batch, n, bytes, now := p.commit.batch[:0], 0, 0, time.Now()
	for _, e := range p.commit.waiting {
		if e.isLate(now) {
			n++
			p.answerLate(e)
			continue
		}
		if len(batch) == maxBatchDeliveries || len(batch) > 0 && bytes+e.size() > maxBatchBytes {
			break
		}
		n++
		batch, bytes = append(batch, e), bytes+e.size()
	}
	p.commit.waiting = slices.Delete(p.commit.waiting, 0, n)
	p.commit.batch = batch
	return batch
}

// collectOne takes the delivery whose sender waits longest from now on: if the
// broker does not confirm it in time, it alone is in doubt. Of several with the
// same time it is the first, so that those of one PublishAll stay in order.
func (p *Publisher) collectOne() []*entry {
	now := time.Now()
	var one *entry
	p.commit.waiting = slices.DeleteFunc(p.commit.waiting, func(e *entry) bool {
		if e.isLate(now) {
			p.answerLate(e)
			return true
		}
		if one == nil || e.deadline.After(one.deadline) {
			one = e
		}
		return false
	})
	if one == nil {
		return nil
	}
	i := slices.Index(p.commit.waiting, one)
	p.commit.waiting = slices.Delete(p.commit.waiting, i, i+1)
	return []*entry{one}
}

// storeBatch publishes a message with these deliveries until the broker confirms
// it and answers their senders. It puts the deliveries back when they certainly
// are not stored.
func (p *Publisher) storeBatch(batch []*entry) {
	p.commit.begun, p.commit.before = time.Now(), len(batch)
	msg, id := p.message(batch)
	p.batchDeliveries.Observe(float64(len(batch)))
	ctx, cancel := context.WithDeadline(context.Background(), lastDeadline(batch))
	defer cancel()
	start := time.Now()
	for maybeStored := false; ; {
		sequence, r, err := p.attempt(ctx, deliveriesStream, msg, id)
		switch r {
		case confirmed:
			p.storeSeconds.Observe(time.Since(start).Seconds())
			p.commit.doubtful = false
			p.commit.wait.Reset()
			if p.pressure != nil {
				p.pressure.hasStored(batch, sequence, time.Now())
			}
			answer(batch, nil)
			return
		case refused:
			answer(batch, err)
			return
		case unknown:
			maybeStored, p.commit.doubtful = true, true
		}
		time.Sleep(p.commit.wait.NextBackOff())
		if !maybeStored {
			p.commit.waiting = slices.Insert(p.commit.waiting, 0, batch...)
			return
		}
		// An attempt that cannot end in time only makes it more likely that a delivery
		// is stored although its sender gets a 503.
		now := time.Now()
		if !slices.ContainsFunc(batch, func(e *entry) bool { return !e.isLate(now) }) {
			answer(batch, p.late(err))
			return
		}
	}
}

func answer(batch []*entry, err error) {
	for _, e := range batch {
		e.answer(err)
	}
}

func (p *Publisher) answerLate(e *entry) { e.answer(p.late(context.DeadlineExceeded)) }

// lastDeadline is when the last of the senders is answered.
func lastDeadline(batch []*entry) time.Time {
	return slices.MaxFunc(batch, func(a, b *entry) int { return a.deadline.Compare(b.deadline) }).deadline
}

// message puts a batch together, and gives it an id. It uses the memory of the one
// before, which the client has copied.
func (p *Publisher) message(batch []*entry) (msg *nats.Msg, id string) {
	data, format := p.commit.data[:0], 1
	for _, e := range batch {
		format = max(format, e.format)
	}
	for _, e := range batch {
		if len(e.mac) > 0 && e.signed != format {
			e.signFor(p.conn.deliveryKeys, format)
		}
		data = e.appendTo(data)
	}
	if p.commit.data = data; cap(data) > 4*maxBatchBytes { // a large body
		p.commit.data = nil
	}
	id = messageID(batch)
	if p.again {
		id = delivery.NewID().String()
	}
	return &nats.Msg{Subject: deliveriesSubject, Data: data, Header: withFormat(countHeaders(batch), format)}, id
}

// withFormat says the format of a message, unless it is the first.
func withFormat(h nats.Header, format int) nats.Header {
	if format > 1 {
		if h == nil {
			h = nats.Header{}
		}
		h.Set(formatHeader, strconv.Itoa(format))
	}
	return h
}

// messageID is the id by which JetStream recognizes a message that it has stored. It
// covers all deliveries of the message: a delivery that is put back or replayed travels
// with others the next time, and must not count as stored then. A replay counts by its
// own id, because it keeps the delivery's.
func messageID(batch []*entry) string {
	if len(batch) == 1 {
		if replay := batch[0].replay; replay != nil {
			return replay.ID.String()
		}
		return batch[0].id.String()
	}
	all := sha256.New()
	for _, e := range batch {
		all.Write(e.id[:])
		if e.replay != nil {
			all.Write(e.replay.ID[:])
		}
	}
	return hex.EncodeToString(all.Sum(nil))
}
