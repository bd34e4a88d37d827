package history

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func newPending(overdue bool, f broker.Fate) *admin.Pending {
	p := &admin.Pending{Overdue: overdue, State: f.State, Why: admin.OrNil(f.Why)}
	if !f.Since.IsZero() {
		p.Since, p.Attempts = new(f.Since.UTC()), &f.Attempts
	}
	return p
}

// pending returns what is overdue, the oldest first, and the rest, the newest
// first; together no more than the filter's limit.
func (b *backlog) pending(ctx context.Context, f Filter) (overdue, recent []admin.Delivery, err error) {
	part, err := b.partOf(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	isOverdue := func(m broker.Message) bool { return b.isOverdue(m.StoredAt) && m.Sequence <= part.Last }
	if err := b.walk(ctx, part.First, up, isOverdue, b.collect(ctx, f, &overdue, f.Limit)); err != nil {
		return nil, nil, err
	}
	if len(overdue) >= f.Limit {
		return overdue, nil, nil
	}
	isRecent := func(m broker.Message) bool { return !b.isOverdue(m.StoredAt) && m.Sequence >= part.First }
	err = b.walk(ctx, part.Last, down, isRecent, b.collect(ctx, f, &recent, f.Limit-len(overdue)))
	return overdue, recent, err
}

// partOf is the part of the backlog that the times of a filter may let through.
func (b *backlog) partOf(ctx context.Context, f Filter) (part broker.Extent, err error) {
	part = broker.Extent{First: b.First, Last: b.Last}
	if !f.Since.IsZero() {
		if part.First, err = b.seek(ctx, f.Since); err != nil {
			return part, err
		}
	}
	if !f.Until.IsZero() {
		beyond, err := b.seek(ctx, f.Until.Add(b.late))
		if err != nil {
			return part, err
		}
		part.Last = min(beyond, b.Last)
	}
	return part, nil
}

// collect returns what walk calls to collect what the filter lets through.
func (b *backlog) collect(ctx context.Context, f Filter, into *[]admin.Delivery, limit int) func(waiting) (bool, error) {
	return func(w waiting) (more bool, err error) {
		if f.WebhookID != "" && w.WebhookID != f.WebhookID || w.ReceivedAt.Before(f.Since) || !f.Until.IsZero() && !w.ReceivedAt.Before(f.Until) {
			return true, nil
		}
		d, err := b.line(ctx, w)
		if err == nil && (f.Community == "" || d.Community == f.Community) && admin.Sees(ctx, d.Community) {
			*into = append(*into, d)
			b.fruitless = 0
		}
		return len(*into) < limit, err
	}
}

// Head is what an admin is to know of all that is pending.
type Head struct {
	// Pending is what the broker and the appliers tell.
	Pending broker.Pending
	// Oldest has been pending for Age. It is nil when nothing is pending.
	Oldest *delivery.ID
	Age    time.Duration
	// Overdue is how many have been pending for longer than Limit; Estimated is set
	// when not all were counted.
	Overdue   int
	Estimated bool
	Limit     time.Duration
	// Unchecked is why the database could not say which of them are settled.
	Unchecked error
}

// Head looks at the whole backlog.
func (h *History) Head(ctx context.Context) (Head, error) {
	b, err := h.backlog(ctx)
	if err != nil {
		return Head{}, err
	}
	if !admin.SeesAll(ctx) {
		return b.ownHead(ctx)
	}
	head := Head{Pending: b.Pending, Limit: h.limit}
	var overdue bool
	err = b.walk(ctx, b.First, up, func(broker.Message) bool { return true }, func(w waiting) (more bool, err error) {
		head.Oldest, head.Age, overdue = &w.ID, max(b.At.Sub(w.storedAt), 0), b.isOverdue(w.storedAt)
		return false, nil
	})
	if err == nil && overdue {
		var q broker.Queue
		q, err = h.stream.Queue(ctx, b.Pending, h.limit)
		head.Overdue, head.Estimated = q.Overdue.Pending(), q.Estimated
	}
	head.Unchecked = b.unchecked
	return head, err
}

// ownCounted is how many pending deliveries are counted for somebody who does not see all:
// each is looked at.
const ownCounted = 1000

// ownHead is the head of what who asks may see. The causes that the broker and the appliers
// tell are about deliveries of all communities, so that it leaves them out.
func (b *backlog) ownHead(ctx context.Context) (Head, error) {
	head := Head{Pending: b.Pending, Limit: b.limit}
	head.Pending.Troubles, head.Pending.Stall = nil, nil
	overdue, recent, err := b.pending(ctx, Filter{Limit: ownCounted})
	if err != nil {
		return Head{}, err
	}
	oldest := overdue
	if len(oldest) == 0 {
		oldest = recent[max(len(recent)-1, 0):]
	}
	if len(oldest) > 0 {
		head.Oldest, head.Age = &oldest[0].ID, max(b.At.Sub(oldest[0].ReceivedAt), 0)
	}
	head.Overdue, head.Estimated, head.Unchecked = len(overdue), b.cutShort || len(overdue) == ownCounted, b.unchecked
	return head, nil
}

// Waiting counts all that is pending in the stream now; estimated is set when not all
// was counted.
func (h *History) Waiting(ctx context.Context) (n int, estimated bool, err error) {
	if !admin.SeesAll(ctx) {
		return h.ownWaiting(ctx)
	}
	p, err := h.stream.Pending(ctx)
	if err != nil {
		return 0, false, err
	}
	q, err := h.stream.Queue(ctx, p, h.limit)
	return q.All.Pending(), q.Estimated, err
}

// ownWaiting is Waiting for somebody who does not see all.
func (h *History) ownWaiting(ctx context.Context) (n int, estimated bool, err error) {
	b, err := h.backlog(ctx)
	if err != nil {
		return 0, false, err
	}
	overdue, recent, err := b.pending(ctx, Filter{Limit: ownCounted})
	n = len(overdue) + len(recent)
	return n, b.cutShort || n == ownCounted, err
}
