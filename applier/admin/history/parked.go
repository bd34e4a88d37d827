package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// mayBeParked: of a parked delivery neither outcome nor reason is known, and its user only
// where it waits for that user.
func mayBeParked(f Filter) bool {
	return (f.Status == "" || f.Status == delivery.Pending) && f.Outcome == "" && f.Reason == "" && f.IDs == nil
}

// parked returns the parked deliveries that a filter lets through, as many as its
// limit says, from a place on.
func (h *History) parked(ctx context.Context, f Filter, at Place) ([]Delivery, error) {
	var all []Delivery
	names := h.names()
	query := f
	query.Before, query.After = at.Before, at.After
	for len(all) < f.Limit {
		query.Limit = min(pageSize, f.Limit-len(all))
		page, err := h.store.ListParked(ctx, query)
		if err != nil {
			return nil, err
		}
		for _, p := range page {
			d, err := h.fromParked(ctx, names, p)
			if err != nil {
				return nil, err
			}
			all = append(all, d)
		}
		if len(page) < query.Limit {
			break
		}
		if at.After != (delivery.ID{}) {
			query.After = page[len(page)-1].ID
		} else {
			query.Before = page[len(page)-1].ID
		}
	}
	return all, nil
}

func (h *History) fromParked(ctx context.Context, n *names, p postgres.ParkedDelivery) (Delivery, error) {
	saved, err := n.of(ctx, p.WebhookID)
	if err != nil {
		return Delivery{}, err
	}
	d := Delivery{
		ID: p.ID, WebhookID: p.WebhookID, Webhook: saved.Name, Community: p.Community,
		Status: delivery.Pending, Changes: []admin.Change{}, Fields: []admin.Field{}, ReceivedAt: p.ReceivedAt.UTC(), User: p.User, Source: SourceOf(p.WebhookID),
		Pending: &Pending{
			// An admin wants a paused webhook's deliveries to wait.
			Overdue: p.Reason != applier.Paused && time.Since(p.StoredAt) >= h.limit,
			State:   delivery.StateParked, Since: new(p.ParkedAt.UTC()), Why: new(string(p.Reason)), Detail: admin.OrNil(p.Detail),
		},
	}
	return d, nil
}

// names finds what webhooks are called. It reads each once.
type names struct {
	*History
	webhooks map[string]broker.Saved
}

func (h *History) names() *names { return &names{History: h, webhooks: map[string]broker.Saved{}} }

func (n *names) of(ctx context.Context, id string) (broker.Saved, error) {
	saved, ok := n.webhooks[id]
	if ok {
		return saved, nil
	}
	saved, err := n.definitions.Get(ctx, id)
	if err != nil && !errors.Is(err, broker.ErrWebhookNotFound) {
		return saved, fmt.Errorf("name the webhook of a pending delivery: %w", err)
	}
	n.webhooks[id] = saved
	return saved, nil
}

// showParked returns a parked delivery with what the sender sent, nil if it is not
// parked.
func (h *History) showParked(ctx context.Context, id delivery.ID) (*Full, error) {
	p, body, ok, err := h.store.FindParked(ctx, id)
	if err != nil || !ok {
		return nil, err
	}
	full := &Full{Headers: body.Headers, Method: body.Method, Query: body.Query, Payload: body.Payload, Executions: []Execution{}, Discards: []Discard{}}
	if body.Newer {
		full.Payload = nil
	}
	full.Delivery, err = h.fromParked(ctx, h.names(), p)
	return full, err
}

// IsLocked reports whether the delivery waits for the row of its user.
func (d Delivery) IsLocked() bool {
	return d.User != nil && d.Pending != nil && d.Pending.Why != nil && *d.Pending.Why == string(applier.UserLocked)
}

// WaitingReplay is a replay that waits. The delivery stays failed until then.
type WaitingReplay struct {
	ID     delivery.ID        `json:"id"`
	Why    applier.ParkReason `json:"why"`
	Detail *string            `json:"detail"`
	Since  time.Time          `json:"since"`
}

// addWaitingReplays notes which of the failed deliveries have a replay that waits.
func (h *History) addWaitingReplays(ctx context.Context, all []Delivery) error {
	var failed []delivery.ID
	for _, d := range all {
		if d.Status == delivery.Failed {
			failed = append(failed, d.ID)
		}
	}
	replays, err := h.store.FirstParkedReplays(ctx, failed)
	for i := range all {
		all[i].WaitingReplay = NewWaitingReplay(replays[all[i].ID])
	}
	return err
}

// NewWaitingReplay is nil for none.
func NewWaitingReplay(r *postgres.ParkedReplay) *WaitingReplay {
	if r == nil {
		return nil
	}
	return &WaitingReplay{ID: r.ID, Why: r.Reason, Detail: admin.OrNil(r.Detail), Since: r.ParkedAt.UTC()}
}

// ParkedGroup is how many deliveries of a webhook wait in rows of their own, and why.
type ParkedGroup struct {
	postgres.ParkedGroup
	Webhook string // its name
}

// ParkedGroups says what is parked. The group that waits longest comes first.
func (h *History) ParkedGroups(ctx context.Context) ([]ParkedGroup, error) {
	all, err := h.store.ParkedGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	groups := make([]ParkedGroup, len(all))
	names := h.names()
	for i, g := range all {
		saved, err := names.of(ctx, g.WebhookID)
		if err != nil {
			return nil, err
		}
		groups[i] = ParkedGroup{g, saved.Name}
		if g.Community == "" {
			groups[i].Community = saved.Community
		}
	}
	return groups, nil
}

// LockHolder is a database session that may hold the row of a user.
type LockHolder = postgres.LockHolder

// holdersOf bounds the users of a webhook whose lock holders are looked up.
const holdersOf = 100

// LockHolders returns the sessions that hold a user, as far as the database tells.
func (h *History) LockHolders(ctx context.Context, user delivery.ID) ([]LockHolder, error) {
	return h.store.LockHolders(ctx, []delivery.ID{user})
}

// LockHoldersOf returns the sessions that hold the users whom deliveries of a webhook
// wait for.
func (h *History) LockHoldersOf(ctx context.Context, webhookID string) ([]LockHolder, error) {
	users, err := h.store.LockedUsers(ctx, webhookID, holdersOf)
	if err != nil || len(users) == 0 {
		return nil, err
	}
	return h.store.LockHolders(ctx, users)
}
