package model_test

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// stream stands for the stream DELIVERIES and the appliers' consumer of it. The
// audit reads it as it reads the broker's.
type stream struct {
	incarnation string
	messages    []broker.Message // sequences from 1, without a gap
	acked       map[uint64]bool
	handedOut   uint64
	attempts    map[uint64]int
	clock       *time.Time // of the broker, also of one that came back from a backup
}

func newStream(incarnation string) *stream {
	clock := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	return &stream{incarnation: incarnation, acked: map[uint64]bool{}, attempts: map[uint64]int{}, clock: &clock}
}

// clone is a backup: messages are never changed.
func (s *stream) clone() *stream {
	c := *s
	c.messages, c.acked, c.attempts = slices.Clone(s.messages), maps.Clone(s.acked), maps.Clone(s.attempts)
	return &c
}

// store appends a message, some seconds after the one before.
func (s *stream) store(deliveries []delivery.Delivery) {
	*s.clock = s.clock.Add(5 * time.Second)
	m := broker.Message{Sequence: s.last() + 1, StoredAt: *s.clock, Deliveries: slices.Clone(deliveries)}
	for i := range m.Deliveries {
		m.Deliveries[i].Position = delivery.Position{Sequence: m.Sequence, Index: i}
		m.Deliveries[i].StoredAt = m.StoredAt
	}
	s.messages = append(s.messages, m)
}

func (s *stream) last() uint64 { return uint64(len(s.messages)) }

func (s *stream) at(sequence uint64) broker.Message { return s.messages[sequence-1] }

// take is what an applier gets when it is given a message.
func (s *stream) take(sequence uint64) []delivery.Delivery {
	s.handedOut = max(s.handedOut, sequence)
	s.attempts[sequence]++
	taken := slices.Clone(s.at(sequence).Deliveries)
	for i := range taken {
		taken[i].Incarnation, taken[i].Attempt = s.incarnation, s.attempts[sequence]
	}
	return taken
}

// unacked are the messages that were handed out and not acknowledged.
func (s *stream) unacked() (list []uint64) {
	for sequence := uint64(1); sequence <= s.handedOut; sequence++ {
		if !s.acked[sequence] {
			list = append(list, sequence)
		}
	}
	return list
}

// floor is up to where all messages are acknowledged.
func (s *stream) floor() (sequence uint64) {
	for s.acked[sequence+1] {
		sequence++
	}
	return sequence
}

func (s *stream) Pending(context.Context) (broker.Pending, error) {
	return broker.Pending{
		Backlog: broker.Backlog{First: s.floor() + 1, Last: s.last()}, At: time.Now(), Incarnation: s.incarnation,
		Partitions: []broker.PartitionState{{Partition: delivery.Partition{Generation: 1, Count: 1}, Floor: s.floor(), Delivered: s.handedOut}},
	}, nil
}

func (s *stream) Extent(context.Context) (broker.Extent, error) {
	return broker.Extent{First: 1, Last: s.last()}, nil
}

func (s *stream) Each(_ context.Context, e broker.Extent, f func(broker.Message) error) error {
	for sequence := e.First; sequence <= e.Last; sequence++ {
		if err := f(s.at(sequence)); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) Message(_ context.Context, sequence uint64) (m broker.Message, ok bool, err error) {
	if sequence == 0 || sequence > s.last() {
		return m, false, nil
	}
	return s.at(sequence), true, nil
}

func (s *stream) Deliveries(ctx context.Context, sequence uint64) ([]delivery.Delivery, error) {
	m, _, err := s.Message(ctx, sequence)
	return m.Deliveries, err
}

func (s *stream) WentBack(context.Context, broker.Extent, uint64, time.Time) (bool, error) {
	panic("of the audit that always runs")
}
