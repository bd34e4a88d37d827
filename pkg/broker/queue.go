package broker

import (
	"context"
	"math"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Queue is how much waits in the stream: deliveries after the floors of their
// partitions. It is counted in the first thousand messages; the rest is estimated
// from their mean.
type Queue struct {
	// All waits, Overdue for longer than the limit.
	All, Overdue Count
	// Estimated is set where not all was counted.
	Estimated bool
	// Oldest is when the oldest message was stored that has any of them. Zero: none has.
	Oldest time.Time

	pending   Pending
	heads     []head
	counted   uint64    // messages up to here are counted
	mean      []float64 // deliveries a message by partition, whether they wait or not
	replays   float64   // the share of those that are replays
	overdueTo uint64    // the last message that is overdue
	waits     []int     // deliveries by partition, replays among them
	oldestOf  []time.Time
}

// head is one message that is counted.
type head struct {
	sequence uint64
	Count    // those that wait
}

// Queue counts what waits. It reads nothing while all floors are at their ends.
func (s *Stream) Queue(ctx context.Context, p Pending, limit time.Duration) (Queue, error) {
	q := Queue{
		pending: p, counted: p.Last, overdueTo: p.First - min(p.First, 1),
		mean: make([]float64, len(p.Partitions)), waits: make([]int, len(p.Partitions)), oldestOf: make([]time.Time, len(p.Partitions)),
	}
	if p.First > p.Last {
		return q, nil
	}
	heads, err := s.headers(ctx, p.First, p.Last)
	if err != nil {
		return q, err
	}
	for _, h := range heads {
		if err := s.countHead(ctx, &q, h); err != nil {
			return q, err
		}
	}
	last := heads[len(heads)-1]
	q.counted, q.Estimated = last.sequence, last.sequence < p.Last
	q.takeMeans(heads)
	if err := s.findOverdue(ctx, &q, heads, p.At.Add(-limit)); err != nil {
		return q, err
	}
	q.All, q.Overdue = q.between(p.First, p.Last), q.between(p.First, q.overdueTo)
	for i := range q.waits {
		q.waits[i] += int(math.Ceil(q.estimate(i, q.counted+1, p.Last)))
	}
	return q, nil
}

// findOverdue finds the last message that was stored before the cutoff.
func (s *Stream) findOverdue(ctx context.Context, q *Queue, heads []header, cutoff time.Time) error {
	for _, h := range heads {
		if h.storedAt.After(cutoff) {
			return nil
		}
		q.overdueTo = h.sequence
	}
	if !q.Estimated {
		return nil
	}
	last, err := s.StoredBefore(ctx, Extent{First: q.counted + 1, Last: q.pending.Last}, cutoff)
	q.overdueTo = max(q.overdueTo, last)
	return err
}

// countHead counts what of a message waits.
func (s *Stream) countHead(ctx context.Context, q *Queue, h header) error {
	c := Count{}
	for _, n := range h.slots {
		i := q.pending.partitionOf(h.sequence, n.slot)
		if i >= 0 && h.sequence <= q.pending.Partitions[i].Floor {
			continue
		}
		c.Deliveries += n.deliveries
		if i < 0 {
			continue
		}
		q.waits[i] += n.deliveries
		if q.oldestOf[i].IsZero() {
			q.oldestOf[i] = h.storedAt
		}
	}
	if c.Deliveries > 0 && q.Oldest.IsZero() {
		q.Oldest = h.storedAt
	}
	switch {
	case c.Deliveries == 0 || h.Replays == 0:
	case c.Deliveries == h.Deliveries:
		c.Replays = h.Replays
	case h.Replays == h.Deliveries:
		c.Replays = c.Deliveries
	case s.headersOnly:
		c.Replays = c.Deliveries * h.Replays / h.Deliveries
	default: // the header does not say in which slots the replays are
		m, _, err := s.Message(ctx, h.sequence)
		if err != nil {
			return err
		}
		c = countDeliveries(m.Deliveries, func(d *delivery.Delivery) bool { return q.pending.Beyond(h.sequence, d.InSlot()) })
	}
	q.heads = append(q.heads, head{h.sequence, c})
	return nil
}

// takeMeans learns from the messages that are counted how many deliveries others have.
func (q *Queue) takeMeans(heads []header) {
	var all Count
	var slots [delivery.Slots + 1]int
	for _, h := range heads {
		all = all.plus(h.Count)
		for _, n := range h.slots {
			slots[n.slot] += n.deliveries
		}
	}
	q.replays = float64(all.Replays) / float64(max(all.Deliveries, 1))
	for i, s := range q.pending.Partitions {
		for slot, n := range slots {
			if n > 0 && s.Has(slot) {
				q.mean[i] += float64(n) / float64(len(heads))
			}
		}
	}
}

// between is how much waits in a part of the stream.
func (q *Queue) between(first, last uint64) (c Count) {
	for _, h := range q.heads {
		if first <= h.sequence && h.sequence <= last {
			c = c.plus(h.Count)
		}
	}
	var more float64
	for i := range q.pending.Partitions {
		more += q.estimate(i, max(first, q.counted+1), last)
	}
	return c.plus(Count{Deliveries: int(math.Round(more)), Replays: int(math.Round(more * q.replays))})
}

// estimate is how many deliveries of a partition wait in messages that are not counted.
func (q *Queue) estimate(i int, first, last uint64) float64 {
	e := q.pending.extentOf(i)
	first, last = max(first, e.First), min(last, e.Last)
	if first > last {
		return 0
	}
	return q.mean[i] * float64(last-first+1)
}
