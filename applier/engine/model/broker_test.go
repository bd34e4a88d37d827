package model_test

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// partitions are those of the stream, each with a webhook of its own.
const partitions = 2

func partition(index int) delivery.Partition {
	return delivery.Partition{Generation: 1, Index: index, Count: partitions}
}

// partitionOf is the one that a delivery belongs to.
func partitionOf(d *delivery.Delivery) int {
	for index := range partitions {
		if partition(index).Has(d.InSlot()) {
			return index
		}
	}
	panic("all slots are in a partition")
}

// stream stands for the stream DELIVERIES and the partitions' consumers of it. The
// audit reads it as it reads the broker's.
type stream struct {
	incarnation       string
	messages          []broker.Message // sequences from 1, without a gap
	floors, delivered [partitions]uint64
	attempts          map[uint64]int
	clock             *time.Time // of the broker, also of one that came back from a backup
}

func newStream(incarnation string) *stream {
	clock := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	return &stream{incarnation: incarnation, attempts: map[uint64]int{}, clock: &clock}
}

// clone is a backup: messages are never changed.
func (s *stream) clone() *stream {
	c := *s
	c.messages, c.attempts = slices.Clone(s.messages), maps.Clone(s.attempts)
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

// take is what the owner of a partition gets when it is given a message.
func (s *stream) take(index int, sequence uint64) (taken []delivery.Delivery) {
	s.delivered[index] = max(s.delivered[index], sequence)
	s.attempts[sequence]++
	for _, d := range s.at(sequence).Deliveries {
		if partitionOf(&d) == index {
			d.Incarnation, d.Attempt = s.incarnation, s.attempts[sequence]
			taken = append(taken, d)
		}
	}
	return taken
}

// isPassed reports whether the partition of a delivery is past its message.
func (s *stream) isPassed(d *delivery.Delivery) bool {
	return d.Position.Sequence <= s.floors[partitionOf(d)]
}

// atEnd reports whether nothing waits in the stream.
func (s *stream) atEnd() bool { return min(s.floors[0], s.floors[1]) == s.last() }

func (s *stream) Pending(context.Context) (broker.Pending, error) {
	p := broker.Pending{
		Extent: broker.Extent{First: min(s.floors[0], s.floors[1]) + 1, Last: s.last()}, At: time.Now(), Incarnation: s.incarnation,
	}
	for index := range partitions {
		p.Partitions = append(p.Partitions, broker.PartitionState{
			Partition: partition(index), Floor: s.floors[index], Delivered: s.delivered[index],
		})
	}
	return p, nil
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
