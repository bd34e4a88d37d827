package broker

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// floorsSubject carries the floors of partitions whose owners have no room for more. A
// message may get lost: it is about speed only.
const floorsSubject = "coinhook.floors"

const (
	// floorCountsFor is how long a floor counts. An owner that tells no other has room, or
	// has stalled and needs no core.
	floorCountsFor = 500 * time.Millisecond
	// An owner settles up to 1,024 deliveries at once, so its pace is measured over this
	// time.
	paceOver = 500 * time.Millisecond
	// catchUp makes a publisher store more slowly than the owner settles, so that the
	// backlog gets smaller.
	catchUp = 1.1
	// holdMost is the longest that back-pressure holds a delivery.
	holdMost = 50 * time.Millisecond
	// markEvery and marksMost bound what is remembered of stored messages. Between marks
	// that are further apart than marksApart, nobody knows how many deliveries there were.
	markEvery  = 10 * time.Millisecond
	marksMost  = 1024
	marksApart = time.Second
)

// backpressure holds a publisher to the pace of owners that have no room for more. Where
// they share cores, an ingress that stores more than is settled leaves the appliers too
// little of them. A sender that waits for its answer before it sends again sends less then.
type backpressure struct {
	mu     sync.Mutex
	stored int    // deliveries
	last   uint64 // the newest message
	marks  []mark // the newest last
	// newest is the newest message with deliveries in a slot.
	newest [delivery.Slots + 1]uint64
	// floors are those of the last paceOver, the newest last.
	floors map[delivery.Partition][]toldFloor
}

// mark says how many deliveries were stored up to a message.
type mark struct {
	sequence uint64
	stored   int
	at       time.Time
}

// toldFloor is a floor that was told: how many of the publisher's deliveries are stored up
// to there, those of other partitions among them.
type toldFloor struct {
	at       time.Time
	position float64
}

func newBackpressure() *backpressure {
	return &backpressure{floors: map[delivery.Partition][]toldFloor{}}
}

// hasStored records a message. If the sequence does not rise, the stream was made again or
// restored from a backup.
func (b *backpressure) hasStored(batch []*entry, sequence uint64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if sequence <= b.last {
		b.marks, b.newest = nil, [delivery.Slots + 1]uint64{}
		clear(b.floors)
	}
	b.last = sequence
	b.stored += len(batch)
	for _, e := range batch {
		b.newest[e.slot] = sequence
	}
	if n := len(b.marks); n > 0 && now.Sub(b.marks[n-1].at) < markEvery {
		return
	}
	if len(b.marks) == marksMost { // every second mark is enough for older messages
		n := 0
		for i := 0; i < marksMost; i += 2 {
			b.marks[n] = b.marks[i]
			n++
		}
		b.marks = b.marks[:n]
	}
	b.marks = append(b.marks, mark{sequence, b.stored, now})
}

// settled is told the floor of a partition.
func (b *backpressure) settled(p delivery.Partition, floor uint64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	position, known := b.position(floor)
	if !known || !b.hasBeyond(p, floor) {
		delete(b.floors, p)
		return
	}
	floors := slices.DeleteFunc(b.floors[p], func(f toldFloor) bool { return now.Sub(f.at) > paceOver })
	b.floors[p] = append(floors, toldFloor{now, position})
}

// hasBeyond reports whether deliveries of a partition are stored beyond its floor.
func (b *backpressure) hasBeyond(p delivery.Partition, floor uint64) bool {
	for slot, sequence := range b.newest {
		if sequence > floor && p.Has(slot) {
			return true
		}
	}
	return false
}

// position is how many deliveries are stored up to a message. It is not known of a message
// that is older than the marks, or between marks that are far apart.
func (b *backpressure) position(sequence uint64) (stored float64, known bool) {
	i, found := slices.BinarySearchFunc(b.marks, sequence, func(m mark, s uint64) int { return cmp.Compare(m.sequence, s) })
	switch {
	case found:
		return float64(b.marks[i].stored), true
	case i == 0:
		return 0, false
	case i == len(b.marks):
		return float64(b.stored), true
	}
	from, to := b.marks[i-1], b.marks[i]
	if to.at.Sub(from.at) > marksApart {
		return 0, false
	}
	share := float64(sequence-from.sequence) / float64(to.sequence-from.sequence)
	return float64(from.stored) + share*float64(to.stored-from.stored), true
}

// hold is how long after a message with this many deliveries the next one may follow, by
// the slowest owner without room: 0 is at once.
func (b *backpressure) hold(deliveries int, now time.Time) (longest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, floors := range b.floors {
		first, last := floors[0], floors[len(floors)-1]
		if now.Sub(last.at) > floorCountsFor {
			delete(b.floors, p)
			continue
		}
		if moved := last.position - first.position; moved > 0 {
			longest = max(longest, time.Duration(catchUp*float64(deliveries)/moved*float64(last.at.Sub(first.at))))
		}
	}
	return min(longest, holdMost)
}

// tellFloor tells the ingresses how far a partition is. The next one follows soon.
func (c *Conn) tellFloor(p delivery.Partition, floor uint64) {
	_ = c.nc.Publish(floorsSubject, floorText(p, floor))
}

// OnFloor calls f with each floor that is told, until stop is called. f must not block.
func (c *Conn) OnFloor(f func(p delivery.Partition, floor uint64)) (stop func(), err error) {
	sub, err := c.nc.Subscribe(floorsSubject, func(m *nats.Msg) {
		if p, floor, ok := parseFloor(m.Data); ok {
			f(p, floor)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", floorsSubject, err)
	}
	return func() { _ = sub.Unsubscribe() }, nil // it ends with the connection, too
}

// floorText is the content of a message: generation, index, count and floor.
func floorText(p delivery.Partition, floor uint64) []byte {
	return fmt.Appendf(make([]byte, 0, 48), "%d %d %d %d", p.Generation, p.Index, p.Count, floor)
}

func parseFloor(text []byte) (p delivery.Partition, floor uint64, ok bool) {
	n, _ := fmt.Sscanf(string(text), "%d %d %d %d", &p.Generation, &p.Index, &p.Count, &floor)
	return p, floor, n == 4 && 0 <= p.Index && p.Index < p.Count && p.Count <= delivery.Slots
}
