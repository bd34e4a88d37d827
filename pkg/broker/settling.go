package broker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// stillAfter is how long the floor of a partition may stay where it is while its
// deliveries wait, before settling counts as stalled. It is longer than an applier needs
// to say why it retries: its connection to PostgreSQL may be silent for 30 s. If
// PENDING_LIMIT is shorter, that counts.
const stillAfter = 45 * time.Second

// Stall says that settling has stalled: deliveries of a partition wait, no applier
// says why, and its floor does not move.
type Stall struct {
	Partition delivery.Partition
	// For is how long; 0 if the broker does not know it, because nobody reads the
	// partition.
	For time.Duration
	Why string
}

// isAwaited reports whether deliveries of a partition wait and no applier accounts for
// it. A partition also waits for the generations before its own.
func (q *Queue) isAwaited(i int, p Pending) bool {
	if q.waits[i] == 0 || p.retried(i) != nil {
		return false
	}
	for older, s := range p.Partitions {
		if s.Generation < p.Partitions[i].Generation && q.waits[older] > 0 {
			return false
		}
	}
	return true
}

// whyStill says what is seen while a partition is stalled.
func (p Pending) whyStill(i int) string {
	s := p.Partitions[i]
	switch {
	case p.NoApplier():
		return NobodyAsks
	case !p.hasOwner(i):
		return fmt.Sprintf("%s of partition %s", NobodyAsks, s.Partition)
	case s.AckPending > 0:
		return fmt.Sprintf("an applier has %d messages of partition %s and settles none", s.AckPending, s.Partition)
	}
	return fmt.Sprintf("an applier asks for messages of partition %s, but the broker delivers none", s.Partition)
}

// stall returns the partition that has been stalled for the longest, by the broker's own
// times. An owner that settles gets further messages. While each partition that is behind
// got some lately, stall reads nothing from the stream.
func (s *Stream) stall(ctx context.Context, p Pending) (longest *Stall, err error) {
	var q *Queue
	for i, partition := range p.Partitions {
		if !p.isBehind(i) || p.At.Sub(partition.DeliveredAt) < stillAfter || p.retried(i) != nil {
			continue
		}
		if q == nil {
			all, err := s.Queue(ctx, p, stillAfter)
			if err != nil {
				return nil, err
			}
			q = &all
		}
		if !q.isAwaited(i, p) {
			continue
		}
		storedAt := q.oldestOf[i]
		if storedAt.IsZero() { // it is not among those counted
			m, _, err := s.Message(ctx, p.extentOf(i).First)
			if err != nil {
				return nil, err
			}
			storedAt = m.StoredAt
		}
		if stall := p.stallSince(i, storedAt); stall != nil && (longest == nil || stall.For > longest.For) {
			longest = stall
		}
	}
	return longest, nil
}

// stallSince is nil unless nothing was delivered for long and the oldest message has
// waited as long.
func (p Pending) stallSince(i int, storedAt time.Time) *Stall {
	s := p.Partitions[i]
	still := p.At.Sub(lastOf(&storedAt, &s.DeliveredAt))
	if still < stillAfter {
		return nil
	}
	if s.DeliveredAt.IsZero() {
		still = 0
	}
	return &Stall{Partition: s.Partition, For: still, Why: p.whyStill(i)}
}

// settling remembers from one check to the next whether the floors move. Unlike the
// broker's times it sees a partition that gets messages and settles none.
type settling struct {
	mu          sync.Mutex
	incarnation string
	floors      map[string]floor // by partition
	looked      time.Time        // the look before
	stall       *Stall           // by the last look
	pending     int              // deliveries
}

// floor is where a partition is, and since when it stands there with deliveries waiting.
type floor struct {
	sequence uint64
	since    time.Time
}

// look compares with the look before. It returns how long settling had been standing
// still then, and now; nil where it does not.
func (s *settling) look(p Pending, q Queue, after time.Duration, now time.Time) (before, stall *Stall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Between looks that are far apart the broker was away: appliers could not ack.
	if p.Incarnation != s.incarnation || now.Sub(s.looked) > after {
		s.floors = nil
	}
	floors := make(map[string]floor, len(p.Partitions))
	for i, partition := range p.Partitions {
		is, was := floor{partition.Floor, now}, s.floors[partition.Name()]
		if was.sequence == is.sequence && !was.since.IsZero() && q.isAwaited(i, p) {
			is.since = was.since
		}
		floors[partition.Name()] = is
		if still := now.Sub(is.since); still >= after && (stall == nil || still > stall.For) {
			stall = &Stall{Partition: partition.Partition, For: still, Why: p.whyStill(i)}
		}
	}
	before, s.stall = s.stall, stall
	s.incarnation, s.floors, s.looked, s.pending = p.Incarnation, floors, now, q.All.Pending()
	return before, stall
}

// stalled is how long settling has been standing still, 0 if it does not.
func (s *settling) stalled() (still time.Duration, pending int, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stall == nil {
		return 0, s.pending, ""
	}
	return s.stall.For + time.Since(s.looked), s.pending, s.stall.Why
}

// watchSettling warns once when settling has stalled, and says when it goes on.
func (m *Monitor) watchSettling(p *Pending, q Queue) {
	var before *Stall
	before, p.Stall = m.settling.look(*p, q, min(stillAfter, m.limit), time.Now())
	switch pending := q.All.Pending(); {
	case before == nil && p.Stall != nil:
		m.log.Warn().Int64("still_seconds", int64(p.Stall.For.Seconds())).Int("pending_deliveries", pending).Str("why", p.Stall.Why).
			Msg("settling has stalled: deliveries wait and none is settled")
	case before != nil && p.Stall == nil:
		m.log.Info().Int("pending_deliveries", pending).Msg("settling goes on")
	}
}

// Settles reports an error while settling is stalled.
func (m *Monitor) Settles(context.Context) error {
	still, pending, why := m.settling.stalled()
	if still == 0 {
		return nil
	}
	return fmt.Errorf("nothing has been settled for %s while %d deliveries are pending: %s", still.Round(time.Second), pending, why)
}
