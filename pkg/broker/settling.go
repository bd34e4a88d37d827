package broker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// stillAfter is how long nothing may be settled while something waits before
// settling stands still. It is longer than an applier needs to say why it retries a
// batch: its connection to PostgreSQL may be silent for 30 s. PENDING_LIMIT may be
// shorter: then it counts.
const stillAfter = 45 * time.Second

// Stall is settling that stands still: something waits that no applier accounts
// for, and nothing is settled.
type Stall struct {
	// For is how long. It is 0 where the broker does not remember the last ack: it
	// forgets when the consumer's leader changes or restarts.
	For time.Duration
	Why string
}

// queued are the messages that were never handed out.
func (p Pending) queued() Spans { return Spans{}.add(Span{max(p.First, p.HandedOut+1), p.Last}) }

// asides are the messages that appliers say they have set aside; more is how many
// other deliveries they have set aside without naming them.
func (p Pending) asides() (named Spans, more int) {
	for _, t := range p.Troubles {
		for _, a := range t.Aside {
			named = named.or(NewSpans(a.Sequence))
		}
		more += t.AsideDeliveries - len(t.Aside)
	}
	return named, more
}

// isRetried reports whether an applier retries a batch: it says why, and nothing that
// it holds is settled meanwhile.
func (p Pending) isRetried() bool {
	return slices.ContainsFunc(p.Troubles, func(t Trouble) bool { return t.Retried != nil })
}

// waiting is how many messages are not acked and wait for no known cause.
func (p Pending) waiting() int {
	queued := int(p.queued().len())
	if p.isRetried() {
		// The messages that were handed out may be all theirs. Without a pull the
		// queue waits behind them.
		if p.Asking == 0 {
			return 0
		}
		return queued
	}
	named, more := p.asides()
	open := max(p.AckPending-int(named.and(p.gap()).len())-more, 0)
	if open == 0 && p.IsFull() {
		return 0
	}
	return open + queued
}

// waitingSpans are those of them that are known.
func (p Pending) waitingSpans() Spans {
	switch {
	case p.waiting() == 0:
		return nil
	case p.isRetried():
		return p.queued()
	}
	named, _ := p.asides()
	return p.unacked().without(named)
}

// whyStill says what is seen while nothing is settled.
func (p Pending) whyStill() string {
	switch {
	case p.NoApplier():
		return noApplier
	case p.Asking > 0 && p.AckPending > 0:
		return fmt.Sprintf("appliers ask for deliveries, but none of the %d messages that the broker handed out is acknowledged", p.AckPending)
	case p.Asking > 0:
		return "appliers ask for deliveries, but the broker hands out nothing"
	}
	return fmt.Sprintf("the appliers hold %d messages and acknowledge none", p.AckPending)
}

// stall says whether settling stands still, by the broker's own times.
func (s *Stream) stall(ctx context.Context, p Pending) (*Stall, error) {
	waiting := p.waitingSpans()
	if len(waiting) == 0 {
		return nil, nil
	}
	first, ok, err := s.Message(ctx, waiting[0].From)
	if err != nil || !ok {
		return nil, err
	}
	return p.stallSince(first.StoredAt), nil
}

// stallSince is nil unless nothing was acked for long, and what waits has waited for
// as long.
func (p Pending) stallSince(storedAt time.Time) *Stall {
	still := p.At.Sub(lastOf(&storedAt, &p.AckedAt))
	switch {
	case still < stillAfter:
		return nil
	case p.AckedAt.IsZero():
		return &Stall{Why: p.whyStill()}
	}
	return &Stall{For: still, Why: p.whyStill()}
}

// settling remembers from look to look whether anything is settled. Unlike the
// broker's times that holds over a change of the consumer's leader.
type settling struct {
	mu          sync.Mutex
	incarnation string
	handedOut   uint64
	acked       uint64    // messages handed out and not open any more
	since       time.Time // something was acked, or nothing waited
	looked      time.Time // the look before
	stall       *Stall    // by the last look
	pending     int       // deliveries
}

// look compares with the look before. It returns how long settling had been standing
// still then, and now; nil where it does not.
func (s *settling) look(p Pending, pending int, after time.Duration, now time.Time) (before, stall *Stall) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acked := p.HandedOut - uint64(min(max(p.AckPending, 0), int(p.HandedOut)))
	// Between looks that are far apart the broker was away: appliers could not ack.
	isNew := s.since.IsZero() || p.Incarnation != s.incarnation || p.HandedOut < s.handedOut || now.Sub(s.looked) > after
	s.looked = now
	if isNew || acked > s.acked || p.waiting() == 0 {
		s.incarnation, s.acked, s.since = p.Incarnation, acked, now
	}
	s.handedOut, s.pending = p.HandedOut, pending
	before, s.stall = s.stall, nil
	if still := now.Sub(s.since); still >= after {
		s.stall = &Stall{For: still, Why: p.whyStill()}
	}
	return before, s.stall
}

// stalled is how long settling has been standing still, 0 if it does not.
func (s *settling) stalled() (still time.Duration, pending int, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stall == nil {
		return 0, s.pending, ""
	}
	return time.Since(s.since), s.pending, s.stall.Why
}

// watchSettling warns once when settling stands still, and says when it goes on.
func (m *Monitor) watchSettling(p *Pending, pending int) {
	var before *Stall
	before, p.Stall = m.settling.look(*p, pending, min(stillAfter, m.limit), time.Now())
	switch {
	case before == nil && p.Stall != nil:
		m.log.Warn().Int64("still_seconds", int64(p.Stall.For.Seconds())).Int("pending_deliveries", pending).Str("why", p.Stall.Why).
			Msg("settling stands still: deliveries wait and none is settled")
	case before != nil && p.Stall == nil:
		m.log.Info().Int("pending_deliveries", pending).Msg("settling goes on")
	}
}

// Settles reports an error while settling stands still.
func (m *Monitor) Settles(context.Context) error {
	still, pending, why := m.settling.stalled()
	if still == 0 {
		return nil
	}
	return fmt.Errorf("nothing has been settled for %s while %d deliveries are pending: %s", still.Round(time.Second), pending, why)
}
