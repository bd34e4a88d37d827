package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// warningsAtOnce is how many deliveries one look warns of one by one. Of more
	// it says how many there are: an outage must not drown the log.
	warningsAtOnce = 1000

	warnedKey = "warned"
	// skippedKept bounds the record; what is beyond is not warned of any more.
	skippedKept = 1000
)

// warned says how far warnings were given. Messages become overdue in the order
// of the stream, so that one sequence says it, but for those that were skipped:
// in the gap above the ack floor it may be unknown who is still pending.
type warned struct {
	Incarnation string `json:"incarnation"`
	Sequence    uint64 `json:"sequence"`
	Skipped     Spans  `json:"skipped,omitempty"`
}

// advance returns the messages to warn of next, of those up to the last one that
// is overdue, and the record after that.
func (w warned) advance(p Pending, last uint64) (of Spans, after warned) {
	if w.Incarnation != p.Incarnation {
		w = warned{Incarnation: p.Incarnation}
	}
	w.Sequence = min(w.Sequence, p.Last) // sequences are used again after a restore
	todo := w.Skipped.or(Spans{}.add(Span{w.Sequence + 1, last})).and(Spans{}.add(Span{p.First, last}))
	of = todo.and(p.unacked())
	skipped := todo.without(of)
	return of, warned{
		Incarnation: p.Incarnation,
		Sequence:    max(w.Sequence, last),
		Skipped:     skipped[:min(len(skipped), skippedKept)],
	}
}

// warn logs what has become overdue. Of all monitors the one does it that moves
// the record on.
func (m *Monitor) warn(ctx context.Context, p Pending) error {
	if m.state == nil {
		bucket, err := m.conn.stateBucket(ctx)
		if err != nil {
			return err
		}
		m.state = bucket
	}
	was, revision, err := m.readWarned(ctx)
	if err != nil {
		return err
	}
	of, after := was.advance(p, m.overdueSpan(p)[0].To)
	value, err := json.Marshal(after)
	if err != nil {
		return fmt.Errorf("encode how far was warned: %w", err)
	}
	if before, err := json.Marshal(was); err == nil && string(before) == string(value) {
		return nil
	}
	if revision == 0 {
		_, err = m.state.Create(ctx, warnedKey, value)
	} else {
		_, err = m.state.Update(ctx, warnedKey, value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return nil // another monitor was faster
	}
	if err != nil {
		return fmt.Errorf("write how far was warned: %w", err)
	}
	m.logOverdue(ctx, p, of)
	return nil
}

func (m *Monitor) readWarned(ctx context.Context) (w warned, revision uint64, err error) {
	entry, err := m.state.Get(ctx, warnedKey)
	if isNoKey(err) {
		return warned{}, 0, nil
	}
	if err != nil {
		return warned{}, 0, fmt.Errorf("read how far was warned: %w", err)
	}
	if json.Unmarshal(entry.Value(), &w) != nil {
		w = warned{} // of another version: begin anew
	}
	return w, entry.Revision(), nil
}

// logOverdue warns of messages, delivery by delivery.
func (m *Monitor) logOverdue(ctx context.Context, p Pending, of Spans) {
	if m.tally.sum(of).Deliveries > warningsAtOnce {
		m.logMany(ctx, p, of)
		return
	}
	for i, x := range of {
		for sequence := x.From; sequence <= x.To; sequence++ {
			message, _, err := m.stream.Message(ctx, sequence)
			if err != nil {
				m.log.Error().Err(err).Msg("cannot read what is pending for too long")
				m.logMany(ctx, p, Spans{{sequence, x.To}}.or(of[i+1:]))
				return
			}
			settled := p.asideIn(NewSpans(sequence)).deliveries > 0
			for _, d := range message.Deliveries {
				fate := p.Fate(sequence, d.ID)
				if settled && fate.State != SetAside {
					continue // what keeps the message open is set aside
				}
				m.logOne(p, message, d, fate)
			}
		}
	}
}

func (m *Monitor) logOne(p Pending, message Message, d delivery.Delivery, fate Fate) {
	line := m.log.Warn().Stringer("delivery_id", d.ID).Str("webhook_id", d.WebhookID).
		Uint64("stream_sequence", message.Sequence).Time("received_at", d.ReceivedAt).
		Int64("pending_seconds", int64(p.At.Sub(message.StoredAt).Seconds())).Str("state", string(fate.State))
	if !fate.Since.IsZero() {
		line.Time("since", fate.Since).Int("attempts", fate.Attempts)
	}
	if fate.Why != "" {
		line.Str("why", fate.Why)
	}
	if d.Replay != nil {
		line.Stringer("replay_id", d.Replay.ID).Msg("replay is waiting for too long")
		return
	}
	line.Msg("delivery is pending for too long")
}

// logMany warns of messages in one line.
func (m *Monitor) logMany(ctx context.Context, p Pending, of Spans) {
	first, last := of[0].From, of[len(of)-1].To
	line := m.log.Warn().Int("deliveries", m.tally.sum(of).Deliveries).
		Uint64("first_stream_sequence", first).Uint64("last_stream_sequence", last)
	m.nameEnd(ctx, line, "first", first, func(ds []delivery.Delivery) delivery.Delivery { return ds[0] })
	m.nameEnd(ctx, line, "last", last, func(ds []delivery.Delivery) delivery.Delivery { return ds[len(ds)-1] })
	if why := p.InTheWay(); why != "" {
		line.Str("why", why)
	}
	line.Msg("deliveries are pending for too long")
}

// nameEnd adds the id at one end of a stretch, if it can be read.
func (m *Monitor) nameEnd(ctx context.Context, line *zerolog.Event, which string, sequence uint64, pick func([]delivery.Delivery) delivery.Delivery) {
	if message, ok, err := m.stream.Message(ctx, sequence); err == nil && ok {
		line.Stringer(which+"_delivery_id", pick(message.Deliveries).ID)
	}
}
