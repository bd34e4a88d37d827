package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Pending is what the broker tells of messages that are not acknowledged, with
// the appliers and PostgreSQL there or not.
type Pending struct {
	Backlog
	// At is the broker's time, as are those at which messages were stored.
	At          time.Time
	Incarnation string
	// Partitions are those that have a consumer.
	Partitions []PartitionState
	// HandedOut is the newest message that any applier was given. Those between
	// the ack floor and it may be acknowledged: one that is set aside keeps the
	// floor back.
	HandedOut uint64
	// AckPending is how many of those are not.
	AckPending int
	// Asking is how many pulls wait for messages.
	Asking int
	// ActiveAt is when a message was last handed out or acknowledged, AckedAt when
	// one was last acknowledged. Zero: not since the consumer has its leader.
	ActiveAt, AckedAt time.Time
	// Troubles are what the appliers say.
	Troubles []Trouble
	// Stall is nil unless settling stands still.
	Stall *Stall
}

// Pending returns what there is now.
func (s *Stream) Pending(ctx context.Context) (Pending, error) {
	// The consumers go first: what they have handed out is in the stream then.
	partitions, err := s.partitions(ctx)
	if err != nil {
		return Pending{}, err
	}
	if len(partitions) == 0 {
		return Pending{}, fmt.Errorf("look at the partitions: %w", notSetUp(jetstream.ErrConsumerNotFound))
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		return Pending{}, fmt.Errorf("look at the stream %s: %w", deliveriesStream, notSetUp(err))
	}
	p := Pending{
		Backlog:     Backlog{First: partitions[0].Floor + 1, Last: info.State.LastSeq},
		At:          partitions[0].At,
		Incarnation: info.Config.Metadata[incarnationKey],
		Partitions:  partitions,
	}
	for _, s := range partitions {
		p.First = min(p.First, s.Floor+1)
		p.HandedOut = max(p.HandedOut, s.Delivered)
		p.AckPending += s.AckPending
		p.Asking += s.Waiting
		p.ActiveAt = lastOf(&p.ActiveAt, &s.DeliveredAt, &s.AckedAt)
		p.AckedAt = lastOf(&p.AckedAt, &s.AckedAt)
	}
	p.First = max(p.First, info.State.FirstSeq)
	return p, nil
}

// Beyond reports whether a delivery is not settled, as far as the broker knows: it is
// beyond the floor of its partition.
func (p Pending) Beyond(sequence uint64, slot int) bool {
	for _, s := range p.Partitions {
		if s.Has(slot) && sequence > s.BeginsAfter && sequence > s.Floor {
			return true
		}
	}
	return false
}

func lastOf(times ...*time.Time) (last time.Time) {
	for _, t := range times {
		if t != nil && t.After(last) {
			last = *t
		}
	}
	return last
}

// PendingWithTroubles is Pending with what the appliers say, and whether settling
// stands still.
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

// gap is what was handed out, from the ack floor on.
func (p Pending) gap() Spans { return Spans{}.add(Span{p.First, min(p.HandedOut, p.Last)}) }

// unacked returns the messages that are certainly not acknowledged: the first
// one, all that were never handed out, and those of the gap of which an applier
// says so, or all of it when that many are open.
func (p Pending) unacked() Spans {
	gap, queued := p.gap(), p.queued()
	if gap.len() <= uint64(max(p.AckPending, 0)) {
		return gap.or(queued)
	}
	known := NewSpans(p.First)
	for _, t := range p.Troubles {
		known = known.or(t.Held)
		for _, a := range t.Aside {
			known = known.or(NewSpans(a.Sequence))
		}
	}
	return known.and(gap).or(queued)
}

// silentAfter is how long an applier that lives may neither ask for deliveries
// nor finish any: a transaction that waits for locks or for PostgreSQL takes
// that long at most before its applier says what is wrong.
const silentAfter = 90 * time.Second

// NoApplier reports whether no applier shows a sign of life.
func (p Pending) NoApplier() bool {
	if p.Asking > 0 || len(p.Troubles) > 0 {
		return false
	}
	return p.AckPending == 0 || p.At.Sub(p.ActiveAt) > silentAfter
}

// IsFull reports whether the broker hands out nothing more until some of what it
// handed out is acknowledged, as when that much is set aside.
func (p Pending) IsFull() bool { return false }

// State is where a pending delivery is.
type State string

const (
	Queued    State = "queued"     // never handed out to an applier
	HandedOut State = "handed_out" // an applier has it, or had it when it ended
	Retried   State = "retried"    // an applier tries again to settle it
	SetAside  State = "set_aside"  // waits for what only its own webhook needs
)

// Fate is what is known of one pending delivery.
type Fate struct {
	State State
	// Since and Attempts are about retried deliveries and those set aside; zero
	// for others.
	Since    time.Time
	Attempts int
	// Why says what is in the way. It is empty when nothing is known to be.
	Why string
}

// Fate says what is known of a delivery in that message.
func (p Pending) Fate(sequence uint64, id delivery.ID) Fate {
	for _, t := range p.Troubles {
		for _, a := range t.Aside {
			if a.ID == id && a.Sequence == sequence {
				return Fate{State: SetAside, Since: a.Since, Attempts: a.Attempts, Why: a.Why}
			}
		}
	}
	for _, t := range p.Troubles {
		if r := t.Retried; r != nil && r.Messages.has(sequence) {
			return Fate{State: Retried, Since: r.Since, Attempts: r.Attempts, Why: r.Why}
		}
	}
	if sequence > p.HandedOut {
		return Fate{State: Queued, Why: p.InTheWay()}
	}
	for _, t := range p.Troubles {
		if t.Retried != nil && t.Held.has(sequence) {
			return Fate{State: HandedOut, Why: behind(t.Retried)}
		}
	}
	if p.NoApplier() {
		return Fate{State: HandedOut, Why: noApplier}
	}
	if p.Stall != nil {
		return Fate{State: HandedOut, Why: p.Stall.Why}
	}
	return Fate{State: HandedOut}
}

const (
	noApplier = "no applier is asking for deliveries"
	full      = "the broker hands out no more until some of what the appliers have is settled"
)

func behind(r *TroubleRetried) string {
	return "waits behind deliveries that are tried again: " + r.Why
}

// InTheWay says what keeps the queue from moving, if anything is known to: no
// applier at all, or appliers that cannot settle what they have.
func (p Pending) InTheWay() string {
	if p.NoApplier() {
		return noApplier
	}
	for _, t := range p.Troubles {
		if t.Retried != nil && p.Asking == 0 {
			return behind(t.Retried)
		}
	}
	if p.IsFull() {
		return full
	}
	if p.Stall != nil {
		return p.Stall.Why
	}
	return ""
}
