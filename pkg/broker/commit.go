package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

// A sender that is answered 503 sends again, so few of those may be stored. The
// group commit sees to that in three ways:
//
//   - One message is in flight. Deliveries behind it are certainly not stored when
//     the time of their senders ends.
//   - A message that certainly was not stored is taken apart. Senders whose time is
//     over leave it, and new ones join.
//   - A message that may have been stored is tried again as it is: another message
//     with the same deliveries would store them twice. After it the broker is given
//     one delivery, and full messages only once it has confirmed that one.

// commit is the state of the group commit.
type commit struct {
	waiting []*entry // taken from the queue, in the order of their arrival
	// doubtful says that the broker has left an attempt without an answer, and has
	// confirmed nothing since.
	doubtful bool
	wait     *backoff.ExponentialBackOff // between attempts
}

// Run is the group commit. It returns once ctx is done and what was queued by
// then has been answered.
func (p *Publisher) Run(ctx context.Context) error {
	defer close(p.stopped)
	for {
		if len(p.commit.waiting) == 0 {
			select {
			case e := <-p.queue:
				p.commit.waiting = append(p.commit.waiting, e)
			case <-ctx.Done():
				select {
				case e := <-p.queue:
					p.commit.waiting = append(p.commit.waiting, e)
				default:
					return nil
				}
			}
		}
		if batch := p.collect(); len(batch) > 0 {
			p.storeBatch(batch)
		}
	}
}

// collect takes the deliveries of the next message from those that are there.
// It answers senders whose time is over: theirs are certain not to be stored.
func (p *Publisher) collect() (batch []*entry) {
	for p.commit.doubtful || len(p.commit.waiting) < maxBatchDeliveries {
		select {
		case e := <-p.queue:
			p.commit.waiting = append(p.commit.waiting, e)
			continue
		default:
		}
		break
	}
	if p.commit.doubtful {
		return p.collectOne()
	}
	n, bytes, now := 0, 0, time.Now()
	for _, e := range p.commit.waiting {
		if e.isLate(now) {
			n++
			p.answerLate(e)
			continue
		}
		if len(batch) == maxBatchDeliveries || len(batch) > 0 && bytes+e.size > maxBatchBytes {
			break
		}
		n++
		batch, bytes = append(batch, e), bytes+e.size
	}
	p.commit.waiting = slices.Delete(p.commit.waiting, 0, n)
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
	msg, id, err := p.encode(batch)
	if err != nil {
		answer(batch, fmt.Errorf("encode a batch: %w", err))
		return
	}
	p.batchDeliveries.Observe(float64(len(batch)))
	ctx, cancel := context.WithDeadline(context.Background(), lastDeadline(batch))
	defer cancel()
	start := time.Now()
	for maybeStored := false; ; {
		r, err := p.attempt(ctx, deliveriesStream, msg, id)
		switch r {
		case confirmed:
			p.storeSeconds.Observe(time.Since(start).Seconds())
			p.commit.doubtful = false
			p.commit.wait.Reset()
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
		// An attempt that cannot end in time would only make it likelier that what is
		// answered 503 is stored.
		now := time.Now()
		if !slices.ContainsFunc(batch, func(e *entry) bool { return !e.isLate(now) }) {
			answer(batch, p.late(err))
			return
		}
	}
}

func answer(batch []*entry, err error) {
	for _, e := range batch {
		e.done <- err
	}
}

func (p *Publisher) answerLate(e *entry) { e.done <- p.late(context.DeadlineExceeded) }

// lastDeadline is when the last of the senders is answered.
func lastDeadline(batch []*entry) time.Time {
	return slices.MaxFunc(batch, func(a, b *entry) int { return a.deadline.Compare(b.deadline) }).deadline
}

// encode makes the message that carries a batch, and its id.
func (p *Publisher) encode(batch []*entry) (msg *nats.Msg, id string, err error) {
	pbs := make([]*deliverypb.Delivery, len(batch))
	for i, e := range batch {
		pbs[i] = e.pb
	}
	data, err := encodeBatch(pbs)
	if err != nil {
		return nil, "", err
	}
	id = messageID(pbs)
	if p.again {
		id = delivery.NewID().String()
	}
	return &nats.Msg{Subject: deliveriesSubject, Data: data, Header: countHeaders(pbs)}, id, nil
}

// messageID is by what JetStream tells that it has a message already. It stands
// for all that the message carries: deliveries that are put back, or are replayed
// again, travel with others the next time, and must not be taken for stored then.
// A replay keeps the delivery's id and goes by its own.
func messageID(batch []*deliverypb.Delivery) string {
	if len(batch) == 1 {
		if replay := batch[0].GetReplay(); replay != nil {
			return delivery.ID(replay.GetId()).String()
		}
		return delivery.ID(batch[0].GetId()).String()
	}
	all := sha256.New()
	for _, pb := range batch {
		all.Write(pb.GetId())
		all.Write(pb.GetReplay().GetId())
	}
	return hex.EncodeToString(all.Sum(nil))
}
