package history

import (
	"bytes"
	"context"
	"math"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Place is where a page begins: behind a delivery, towards older ones or newer
// ones. The zero value is the newest page.
type Place struct{ Before, After delivery.ID }

// Page is a part of the history, newest first.
type Page struct {
	Listing
	// Older and Newer say on which side there are more.
	Older, Newer bool
}

// Page returns a page of as many deliveries as the filter's limit says. Unlike
// List it does not put overdue ones first.
func (h *History) Page(ctx context.Context, f Filter, at Place) (Page, error) {
	f.Limit = min(f.Limit, math.MaxInt-1) + 1 // to see whether there are more
	all, list, err := h.gather(ctx, f, at, func(b *backlog) ([]admin.Delivery, error) { return b.page(ctx, f, at) })
	if err != nil {
		return Page{}, err
	}
	isAfter := at.After != delivery.ID{}
	slices.SortFunc(all, func(a, b admin.Delivery) int { return at.compare(a.ID, b.ID) })
	more := len(all) >= f.Limit
	all = all[:min(len(all), f.Limit-1)]
	if isAfter {
		slices.Reverse(all)
	}
	list.Deliveries = all
	return Page{Listing: list, Older: more || isAfter, Newer: isAfter && more || at.Before != delivery.ID{}}, nil
}

// compare orders ids as they come from the place.
func (p Place) compare(a, b delivery.ID) int {
	if p.After != (delivery.ID{}) {
		return bytes.Compare(a[:], b[:])
	}
	return bytes.Compare(b[:], a[:])
}

func (p Place) has(id delivery.ID) bool {
	return (p.Before == delivery.ID{} || bytes.Compare(id[:], p.Before[:]) < 0) &&
		(p.After == delivery.ID{} || bytes.Compare(id[:], p.After[:]) > 0)
}

// disorder is how far the order of ids may be from that of the stream: several
// ingresses take deliveries, each by its own clock.
const disorder = 2 * time.Second

// page returns at most as many pending deliveries as the filter's limit says, the
// nearest to the place.
func (b *backlog) page(ctx context.Context, f Filter, at Place) ([]admin.Delivery, error) {
	part, err := b.partOf(ctx, f)
	if err != nil {
		return nil, err
	}
	from, direction := part.Last, down
	switch {
	case at.Before != delivery.ID{}:
		from, err = b.seek(ctx, at.Before.Time().Add(disorder))
		from = min(from, part.Last)
	case at.After != delivery.ID{}:
		from, err = b.seek(ctx, at.After.Time().Add(-disorder))
		from, direction = max(from, part.First), up
	}
	if err != nil {
		return nil, err
	}
	var found []admin.Delivery
	collect := b.collect(ctx, f, &found, math.MaxInt)
	// Behind as many as are wanted some of the next ones may belong before them.
	beyond := func(m broker.Message) bool {
		if len(found) < f.Limit {
			return false
		}
		edge := found[f.Limit-1].ID.Time()
		if direction == up {
			return m.StoredAt.After(edge.Add(disorder))
		}
		return m.StoredAt.Before(edge.Add(-disorder))
	}
	belongs := func(m broker.Message) bool { return m.Sequence >= part.First && m.Sequence <= part.Last && !beyond(m) }
	err = b.walk(ctx, from, direction, belongs, func(w waiting) (bool, error) {
		if !at.has(w.ID) {
			return true, nil
		}
		return collect(w)
	})
	slices.SortFunc(found, func(a, b admin.Delivery) int { return at.compare(a.ID, b.ID) })
	return found[:min(len(found), f.Limit)], err
}

// Overdue returns what lies in the stream for too long, the oldest first, at most as
// many as the filter's limit says.
func (h *History) Overdue(ctx context.Context, f Filter) ([]admin.Delivery, error) {
	if !mayBeQueued(f) {
		return nil, nil
	}
	b, err := h.backlog(ctx)
	if err != nil {
		return nil, err
	}
	part, err := b.partOf(ctx, f)
	if err != nil {
		return nil, err
	}
	var overdue []admin.Delivery
	isOverdue := func(m broker.Message) bool { return b.isOverdue(m.StoredAt) && m.Sequence <= part.Last }
	err = b.walk(ctx, part.First, up, isOverdue, b.collect(ctx, f, &overdue, f.Limit))
	return overdue, err
}
