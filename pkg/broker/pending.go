package broker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Pending is what the broker knows of deliveries that have no row yet, even
// without appliers and PostgreSQL.
type Pending struct {
	// Extent is what lies beyond the lowest floor of a partition: all of them are there.
	Extent
	// At is the broker's time, as are the times at which messages were stored.
	At          time.Time
	Incarnation string
	// Partitions are those that have a consumer, the oldest generation first.
	Partitions []PartitionState
	// Troubles are what the appliers say.
	Troubles []Trouble
	// Stall is nil unless settling has stalled.
	Stall *Stall
}

// Pending returns what there is now.
func (s *Stream) Pending(ctx context.Context) (Pending, error) {
	// The consumers are read first: the messages that they have delivered are in the stream
	// then.
	partitions, err := s.partitions(ctx)
	if err != nil {
		return Pending{}, err
	}
	if err := checkPartitions(partitions); err != nil {
		return Pending{}, err
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		return Pending{}, fmt.Errorf("read the state of the stream %s: %w", deliveriesStream, notSetUp(err))
	}
	p := Pending{
		Extent:      Extent{First: info.State.LastSeq + 1, Last: info.State.LastSeq},
		At:          partitions[0].At,
		Incarnation: info.Config.Metadata[incarnationKey],
		Partitions:  partitions,
	}
	for i := range partitions {
		if e := p.extentOf(i); e.First <= e.Last {
			p.First = min(p.First, e.First)
		}
	}
	p.First = max(p.First, info.State.FirstSeq)
	return p, nil
}

// checkPartitions reports an error where the newest generation is not complete: nobody
// knows how far a partition is whose consumer is missing. Setup deletes those of older
// generations once they are finished.
func checkPartitions(all []PartitionState) error {
	for index := 0; ; index++ {
		if len(all) > 0 && index == all[len(all)-1].Count {
			return nil
		}
		if !slices.ContainsFunc(all, func(s PartitionState) bool {
			return s.Index == index && s.Generation == all[len(all)-1].Generation
		}) {
			return fmt.Errorf("read partition %d: %w", index, notSetUp(jetstream.ErrConsumerNotFound))
		}
	}
}

// PendingWithTroubles is Pending with what the appliers say, and whether settling
// has stalled.
func (s *Stream) PendingWithTroubles(ctx context.Context) (Pending, error) {
	p, err := s.Pending(ctx)
	if err == nil {
		p.Troubles, err = s.troubles(ctx, p.At)
	}
	if err == nil {
		p.Stall, err = s.stall(ctx, p)
	}
	return p, err
}

// extentOf returns the messages that a partition has still to settle. Its generation
// ends where the next one begins. The oldest one that has consumers takes all before.
func (p Pending) extentOf(i int) Extent {
	s := p.Partitions[i]
	e := Extent{First: s.Floor + 1, Last: p.Last}
	if s.Generation != p.Partitions[0].Generation {
		e.First = max(e.First, s.BeginsAfter+1)
	}
	for _, other := range p.Partitions {
		if other.Generation > s.Generation {
			e.Last = min(e.Last, other.BeginsAfter)
		}
	}
	return e
}

// isBehind reports whether a partition has messages to settle. They may have none of
// its deliveries.
func (p Pending) isBehind(i int) bool {
	e := p.extentOf(i)
	return e.First <= e.Last
}

// partitionOf returns the partition that settles a slot's deliveries of a message, -1 if
// the partition has no consumer.
func (p Pending) partitionOf(sequence uint64, slot int) int {
	if len(p.Partitions) == 0 {
		return -1
	}
	generation := p.Partitions[0].Generation
	for _, s := range p.Partitions {
		if sequence > s.BeginsAfter {
			generation = s.Generation
		}
	}
	return slices.IndexFunc(p.Partitions, func(s PartitionState) bool { return s.Generation == generation && s.Has(slot) })
}

// Beyond reports whether a delivery is beyond the floor of its partition: as far as the
// broker knows, it has no row.
func (p Pending) Beyond(sequence uint64, slot int) bool {
	i := p.partitionOf(sequence, slot)
	return i < 0 || sequence > p.Partitions[i].Floor
}

func lastOf(times ...*time.Time) (last time.Time) {
	for _, t := range times {
		if t != nil && t.After(last) {
			last = *t
		}
	}
	return last
}
