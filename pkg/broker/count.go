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

// The headers of a message count its deliveries, so that a backlog is counted without
// bodies. Messages of older versions have no such headers and are read whole.
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

// countDeliveries counts those that are to be counted.
func countDeliveries(all []delivery.Delivery, isCounted func(*delivery.Delivery) bool) (c Count) {
	for i := range all {
		if !isCounted(&all[i]) {
			continue
		}
		c.Deliveries++
		if all[i].Replay != nil {
			c.Replays++
		}
	}
	return c
}

// header is what a message says that it carries.
type header struct {
	sequence uint64
	storedAt time.Time
	Count
	slots slotCounts
}

const (
	// headersAtOnce is how many messages' headers one request brings.
	headersAtOnce = 1000
	// readerIdle is when the broker forgets a reader that has gone away.
	readerIdle = 30 * time.Second
)

// headers returns what the first messages say from a sequence on to another, as many as
// one request brings. Bodies are not sent.
func (s *Stream) headers(ctx context.Context, from, to uint64) ([]header, error) {
	if s.headersOnly {
		all, err := s.sharedHeaders(ctx, from, int(min(headersAtOnce, to-from+1)))
		return someHeaders(all, from, to, err)
	}
	// A consumer of this call alone: nothing is taken from the appliers. It has one
	// copy, so that no status overtakes its messages.
	consumer, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.Consumer, error) { // as watch
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
		return nil, fmt.Errorf("read the headers of the stream: %w", err)
	}
	defer forgetReader(ctx, s.js, consumer.CachedInfo().Name)
	all, err := s.fetchHeaders(ctx, consumer, int(min(headersAtOnce, to-from+1)))
	return someHeaders(all, from, to, err)
}

func someHeaders(all []header, from, to uint64, err error) ([]header, error) {
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("none came of the messages %d to %d", from, to)
	}
	if err != nil {
		return nil, fmt.Errorf("read the headers of the stream: %w", err)
	}
	return all, nil
}

// forgetReader deletes a reader. Without an answer the broker does it in a while.
func forgetReader(ctx context.Context, js jetstream.JetStream, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerSoon)
	defer cancel()
	js.DeleteConsumer(ctx, deliveriesStream, name) // see above
}

func (s *Stream) fetchHeaders(ctx context.Context, consumer jetstream.Consumer, n int) (all []header, err error) {
	batch, err := consumer.FetchNoWait(n)
	if err != nil {
		return nil, err
	}
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		if meta.Sequence.Consumer != uint64(len(all))+1 {
			return nil, fmt.Errorf("messages before %d were lost on their way: %w", meta.Sequence.Stream, errShared)
		}
		h, err := s.header(ctx, msg, meta)
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, batch.Error()
}

// header reads the headers of a message. It reads the message where they do not say
// what it carries.
func (s *Stream) header(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata) (header, error) {
	h := header{sequence: meta.Sequence.Stream, storedAt: meta.Timestamp}
	if slots, ok := slotsOf(msg.Headers()); ok {
		h.slots = slots
		h.Count, _ = countOf(msg.Headers())
		return h, nil
	}
	if s.headersOnly { // of a version that did not say it
		h.Count, h.slots = Count{Deliveries: 1}, slotCounts{{slot: 1, deliveries: 1}}
		return h, nil
	}
	m, _, err := s.Message(ctx, h.sequence)
	h.Count = countDeliveries(m.Deliveries, func(*delivery.Delivery) bool { return true })
	h.slots = slotsOfDeliveries(m.Deliveries)
	return h, err
}
