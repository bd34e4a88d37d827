package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// warningsAtOnce is how many deliveries one look warns of one by one. Of more
	// it says how many there are: an outage must not drown the log.
	warningsAtOnce = 1000

	warnedKey = "warned"
	// warnedByIngressKey is where ingresses say it, who may write below this prefix only.
	warnedByIngressKey = "ingress.warned"
)

// warned says how far warnings were given. Messages become overdue in the order of the
// stream, so that one sequence says it.
type warned struct {
	Incarnation string `json:"incarnation"`
	Sequence    uint64 `json:"sequence"`
}

// warn logs what has become overdue. Of all monitors the one does it that moves the
// record on.
//
// An ingress cannot name deliveries, and warns of their number while no applier is there
// to warn.
func (m *Monitor) warn(ctx context.Context, p Pending, q Queue) error {
	key := warnedKey
	if m.stream.headersOnly {
		if key = warnedByIngressKey; !p.NoApplier() {
			return nil
		}
	}
	if m.state == nil {
		bucket, err := m.conn.stateBucket(ctx)
		if err != nil {
			return err
		}
		m.state = bucket
	}
	was, revision, err := m.readWarned(ctx, key)
	if err != nil {
		return err
	}
	if was.Incarnation != p.Incarnation {
		was.Sequence = 0
	}
	was.Sequence = min(was.Sequence, p.Last) // sequences are used again after a restore
	first, last := max(was.Sequence+1, p.First), q.overdueTo
	if first > last {
		return nil
	}
	value, err := json.Marshal(warned{p.Incarnation, last})
	if err != nil {
		return fmt.Errorf("encode how far was warned: %w", err)
	}
	if revision == 0 {
		_, err = m.state.Create(ctx, key, value)
	} else {
		_, err = m.state.Update(ctx, key, value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return nil // another monitor was faster
	}
	if err != nil {
		return fmt.Errorf("write how far was warned: %w", err)
	}
	m.logOverdue(ctx, p, q, first, last)
	return nil
}

func (m *Monitor) readWarned(ctx context.Context, key string) (w warned, revision uint64, err error) {
	entry, err := m.state.Get(ctx, key)
	if isNoKey(err) {
		return warned{}, 0, nil
	}
	if err != nil {
		return warned{}, 0, fmt.Errorf("read how far was warned: %w", err)
	}
	if json.Unmarshal(entry.Value(), &w) != nil {
		w = warned{} // of another version
	}
	return w, entry.Revision(), nil
}

// logOverdue warns of the messages from one to another, delivery by delivery.
func (m *Monitor) logOverdue(ctx context.Context, p Pending, q Queue, first, last uint64) {
	if n := q.between(first, last).Deliveries; n > warningsAtOnce || n > 0 && m.stream.headersOnly {
		m.logMany(ctx, p, q, first, last)
		return
	}
	for sequence := first; sequence <= min(last, q.counted); sequence++ {
		if q.between(sequence, sequence).Deliveries == 0 {
			continue
		}
		message, _, err := m.stream.Message(ctx, sequence)
		if err != nil {
			m.log.Error().Err(err).Msg("cannot read which deliveries are pending for too long")
			m.logMany(ctx, p, q, sequence, last)
			return
		}
		for _, d := range message.Deliveries {
			if p.Beyond(sequence, d.InSlot()) {
				m.logOne(p, message, d)
			}
		}
	}
	if first = max(first, q.counted+1); first <= last && q.between(first, last).Deliveries > 0 {
		m.logMany(ctx, p, q, first, last)
	}
}

func (m *Monitor) logOne(p Pending, message Message, d delivery.Delivery) {
	fate := p.Fate(message.Sequence, d.InSlot())
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
func (m *Monitor) logMany(ctx context.Context, p Pending, q Queue, first, last uint64) {
	line := m.log.Warn().Int("deliveries", q.between(first, last).Deliveries).Bool("estimated", last > q.counted).
		Uint64("first_stream_sequence", first).Uint64("last_stream_sequence", last)
	m.nameEnd(ctx, line, "first", p, first, func(ds []delivery.Delivery) delivery.Delivery { return ds[0] })
	m.nameEnd(ctx, line, "last", p, last, func(ds []delivery.Delivery) delivery.Delivery { return ds[len(ds)-1] })
	if why := p.InTheWay(); why != "" {
		line.Str("why", why)
	}
	line.Msg("deliveries are pending for too long")
}

// nameEnd adds the id at one end of a stretch, if it can be read.
func (m *Monitor) nameEnd(ctx context.Context, line *zerolog.Event, which string, p Pending, sequence uint64, pick func([]delivery.Delivery) delivery.Delivery) {
	if m.stream.headersOnly {
		return
	}
	message, _, err := m.stream.Message(ctx, sequence)
	open := slices.DeleteFunc(message.Deliveries, func(d delivery.Delivery) bool { return !p.Beyond(sequence, d.InSlot()) })
	if err == nil && len(open) > 0 {
		line.Stringer(which+"_delivery_id", pick(open).ID)
	}
}
