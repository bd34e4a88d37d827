package history

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// backlog is the stream beyond the lowest floor of a partition as one question sees it.
type backlog struct {
	*History
	broker.Pending
	// cutoff parts what is overdue from the rest: by the time of storing, which
	// rises along the stream.
	cutoff time.Time
	// unchecked is why the database could not say which of them are settled.
	unchecked error

	fruitless int // messages that were read since the last delivery that was wanted
	cutShort  bool
	names     *names
}

// waiting is a delivery that has neither an outcome nor a parked row.
type waiting struct {
	delivery.Delivery
	storedAt time.Time
}

func (h *History) backlog(ctx context.Context) (*backlog, error) {
	p, err := h.stream.PendingWithTroubles(ctx)
	if err != nil {
		return nil, err
	}
	return &backlog{History: h, Pending: p, cutoff: p.At.Add(-h.limit), names: h.names()}, nil
}

func (b *backlog) isOverdue(storedAt time.Time) bool { return !storedAt.After(b.cutoff) }

// The two directions of a walk.
const (
	up   = 1
	down = -1
)

// firstPage is how many deliveries are asked for at first: a list is short, and
// usually the first ones do.
const firstPage = 64

// walk calls f with what waits in the stream, from a sequence on, as long as messages
// belong and f wants more. It gives up after many messages without a delivery that
// is wanted: cutShort is set then.
func (b *backlog) walk(ctx context.Context, from uint64, direction int, belongs func(broker.Message) bool, f func(waiting) (more bool, err error)) error {
	var page []broker.Message
	deliveries, full := 0, firstPage
	b.fruitless = 0
	for seq := from; seq >= max(b.First, 1) && seq <= b.Last; seq += uint64(direction) { // down wraps around
		m, ok, err := b.stream.Message(ctx, seq)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if !belongs(m) {
			break
		}
		page, deliveries = append(page, m), deliveries+len(m.Deliveries)
		if b.fruitless++; deliveries < full && b.fruitless <= b.search {
			continue
		}
		if more, err := b.eachOpen(ctx, page, direction, f); err != nil || !more {
			return err
		}
		if b.fruitless > b.search {
			b.cutShort = true
			return nil
		}
		page, deliveries, full = page[:0], 0, min(4*full, pageSize)
	}
	_, err := b.eachOpen(ctx, page, direction, f)
	return err
}

// eachOpen calls f with those of a page that have no row yet.
func (b *backlog) eachOpen(ctx context.Context, page []broker.Message, direction int, f func(waiting) (more bool, err error)) (more bool, err error) {
	settled, err := b.settled(ctx, page)
	if err != nil {
		return false, err
	}
	for _, m := range page {
		// A replay of a dead letter has an outcome, the one that it replaces.
		open := slices.DeleteFunc(slices.Clone(m.Deliveries), func(d delivery.Delivery) bool {
			return settled[d.ID] || d.Replay != nil || !b.Beyond(m.Sequence, d.InSlot())
		})
		if direction == down {
			slices.Reverse(open)
		}
		for _, d := range open {
			if more, err := f(waiting{d, m.StoredAt}); err != nil || !more {
				return false, err
			}
		}
	}
	return true, nil
}

// settled returns which deliveries of a page have an outcome or are parked. While the
// database is down none is known to.
func (b *backlog) settled(ctx context.Context, page []broker.Message) (map[delivery.ID]bool, error) {
	var ids []delivery.ID
	for _, m := range page {
		for _, d := range m.Deliveries {
			ids = append(ids, d.ID)
		}
	}
	if b.unchecked != nil || len(ids) == 0 {
		return nil, nil
	}
	settled, err := b.store.HaveRows(ctx, ids)
	if err != nil && ctx.Err() == nil {
		b.unchecked = err
		return nil, nil
	}
	return settled, err
}

// seek returns the first sequence of the backlog that was stored at a time or
// later.
func (b *backlog) seek(ctx context.Context, at time.Time) (uint64, error) {
	low, high := b.First, b.Last+1 // the answer is between them, or one of them
	for low < high {
		middle := low + (high-low)/2
		m, ok, err := b.stream.Message(ctx, middle)
		if err != nil {
			return 0, err
		}
		if ok && !m.StoredAt.Before(at) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low, nil
}

// errFound ends a search.
var errFound = errors.New("found")

// find returns a delivery of the backlog, nil if it is not there. A backlog may be
// long, and an id tells when it was made: the messages that were stored from then on
// are read first, and some of those before, for clocks differ. notRead is how many
// messages of the backlog were not read.
func (b *backlog) find(ctx context.Context, id delivery.ID) (w *waiting, notRead uint64, err error) {
	if b.First > b.Last {
		return nil, 0, nil
	}
	at, err := b.seek(ctx, id.Time())
	if err != nil {
		return nil, 0, err
	}
	search := uint64(b.search) // it is positive
	older, newer := at-b.First, b.Last+1-at
	before := min(older, search/3)
	after := min(newer, search-before)
	before = min(older, search-after)
	for _, part := range []broker.Extent{{First: at, Last: at + after - 1}, {First: at - before, Last: at - 1}} {
		err := b.stream.Each(ctx, part, func(m broker.Message) error {
			for _, d := range m.Deliveries {
				if d.ID == id && d.Replay == nil && b.Beyond(m.Sequence, d.InSlot()) {
					w = &waiting{d, m.StoredAt}
					return errFound
				}
			}
			return nil
		})
		if errors.Is(err, errFound) {
			return w, 0, nil
		}
		if err != nil {
			return nil, 0, err
		}
	}
	return nil, older + newer - before - after, nil
}

// line makes a line of the history.
func (b *backlog) line(ctx context.Context, w waiting) (admin.Delivery, error) {
	of, err := b.names.ofDelivery(ctx, w.Delivery)
	if err != nil {
		return admin.Delivery{}, err
	}
	return admin.Delivery{
		ID: w.ID, WebhookID: w.WebhookID, Webhook: of.Name, Community: of.Community,
		Status: delivery.Pending, Changes: []admin.Change{}, Fields: []admin.Field{}, ReceivedAt: w.ReceivedAt.UTC(), Source: admin.SourceOf(w.WebhookID),
		Pending: newPending(b.isOverdue(w.storedAt), b.Fate(w.Position.Sequence, w.InSlot())),
	}, nil
}
