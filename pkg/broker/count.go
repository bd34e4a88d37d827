package broker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// A message says in its headers what it carries, so that a backlog is counted
// without its bodies. Messages of older versions do not, and are read whole.
const (
	deliveriesHeader = "Coinhook-Deliveries" // all
	replaysHeader    = "Coinhook-Replays"    // those of them that are replays; absent for none
	slotsHeader      = "Coinhook-Slots"      // all by slot, such as "3:10,17:246", the lowest slot first
)

// Count is how many deliveries messages carry. A replay has an outcome already,
// the one that it replaces: it waits, and is not pending.
type Count struct{ Deliveries, Replays int }

func (c Count) plus(d Count) Count { return Count{c.Deliveries + d.Deliveries, c.Replays + d.Replays} }

// Pending is how many have no outcome, if none of the messages is settled.
func (c Count) Pending() int { return c.Deliveries - c.Replays }

func countHeaders(batch []*entry) nats.Header {
	c := Count{Deliveries: len(batch)}
	for _, e := range batch {
		if e.replay != nil {
			c.Replays++
		}
	}
	h := nats.Header{deliveriesHeader: {strconv.Itoa(c.Deliveries)}, slotsHeader: {countSlots(batch).String()}}
	if c.Replays > 0 {
		h[replaysHeader] = []string{strconv.Itoa(c.Replays)}
	}
	return h
}

// countOf reads what countHeaders wrote; ok is false where it did not.
func countOf(h nats.Header) (c Count, ok bool) {
	n, err := strconv.ParseUint(h.Get(deliveriesHeader), 10, 16)
	if err != nil || n == 0 {
		return Count{}, false
	}
	c.Deliveries = int(n)
	if text := h.Get(replaysHeader); text != "" {
		replays, err := strconv.ParseUint(text, 10, 16)
		if err != nil || replays > n {
			return Count{}, false
		}
		c.Replays = int(replays)
	}
	return c, true
}

func countDeliveries(batch []delivery.Delivery) (c Count) {
	for _, d := range batch {
		c.Deliveries++
		if d.Replay != nil {
			c.Replays++
		}
	}
	return c
}

const (
	// headersAtOnce is how many messages' headers one request brings.
	headersAtOnce = 1000
	// readerIdle is when the broker forgets a reader that has gone away.
	readerIdle = 30 * time.Second
)

// headersFrom calls f with the messages from a sequence on to another, in their
// order, until f returns false. Bodies are not sent.
func (s *Stream) headersFrom(ctx context.Context, from, to uint64, f func(sequence uint64, storedAt time.Time, c Count) bool) error {
	// A consumer of this call alone: nothing is taken from the appliers. It has one
	// copy, so that no status overtakes its messages, see Consumer.receive.
	consumer, err := patiently(ctx, func(ctx context.Context) (jetstream.Consumer, error) { // as watch
		return s.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
			AckPolicy:         jetstream.AckNonePolicy,
			DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
			OptStartSeq:       from,
			HeadersOnly:       true,
			MemoryStorage:     true,
			Replicas:          1,
			InactiveThreshold: readerIdle,
		})
	})
	if err != nil {
		return fmt.Errorf("read the headers of the stream: %w", err)
	}
	defer s.forget(ctx, consumer)
	r := headerReader{stream: s, consumer: consumer, next: from, to: to}
	for more := true; more && r.next <= to && err == nil; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		more, err = r.read(ctx, f)
	}
	if err != nil {
		return fmt.Errorf("read the headers of the stream: %w", err)
	}
	return nil
}

// forget deletes a reader. Without an answer the broker does it in a while.
func (s *Stream) forget(ctx context.Context, consumer jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerSoon)
	defer cancel()
	s.stream.DeleteConsumer(ctx, consumer.CachedInfo().Name) //nolint:errcheck // see above
}

type headerReader struct {
	stream   *Stream
	consumer jetstream.Consumer
	next, to uint64
	received uint64 // messages, by the consumer's own count
}

// read makes one request. more is false when there is nothing more to come, or
// f has enough.
func (r *headerReader) read(ctx context.Context, f func(uint64, time.Time, Count) bool) (more bool, err error) {
	batch, err := r.consumer.FetchNoWait(int(min(headersAtOnce, r.to-r.next+1)))
	if err != nil {
		return false, err
	}
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return false, err
		}
		if r.received++; meta.Sequence.Consumer != r.received {
			return false, fmt.Errorf("messages before %d were lost on their way", meta.Sequence.Stream)
		}
		if meta.Sequence.Stream > r.to {
			return false, nil
		}
		c, err := r.count(ctx, msg, meta.Sequence.Stream)
		if err != nil || !f(meta.Sequence.Stream, meta.Timestamp, c) {
			return false, err
		}
		r.next, more = meta.Sequence.Stream+1, true
	}
	return more, batch.Error()
}

func (r *headerReader) count(ctx context.Context, msg jetstream.Msg, sequence uint64) (Count, error) {
	if c, ok := countOf(msg.Headers()); ok {
		return c, nil
	}
	m, _, err := r.stream.Message(ctx, sequence)
	return countDeliveries(m.Deliveries), err
}

// CountUntil counts what messages carry from a sequence on that were stored
// before a time, over so many messages at most. more is set if there may be
// others.
func (s *Stream) CountUntil(ctx context.Context, from, to uint64, before time.Time, messages int) (c Count, more bool, err error) {
	if from > to {
		return Count{}, false, nil
	}
	err = s.headersFrom(ctx, from, to, func(_ uint64, storedAt time.Time, n Count) bool {
		if !storedAt.Before(before) {
			return false
		}
		if messages--; messages < 0 {
			more = true
			return false
		}
		c = c.plus(n)
		return true
	})
	return c, more, err
}
