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
	"github.com/coinhook/coinhook/pkg/webhook"
)

// mayBeParked: of a parked delivery neither outcome nor reason is known, and its user only
// where it waits for that user.
func mayBeParked(f Filter) bool {
	return (f.Status == "" || f.Status == delivery.Pending) && f.Outcome == "" && f.Reason == "" && f.IDs == nil
}

// parked returns the parked deliveries that a filter lets through, as many as its
// limit says, from a place on.
func (h *History) parked(ctx context.Context, f Filter, at Place) ([]admin.Delivery, error) {
	names := h.names()
	return inPages(f, at, func(f Filter) ([]admin.Delivery, error) {
		parked, err := h.store.ListParked(ctx, f)
		if err != nil {
			return nil, err
		}
		page := make([]admin.Delivery, len(parked))
		for i, p := range parked {
			if page[i], err = h.fromParked(ctx, names, p); err != nil {
				return nil, err
			}
		}
		return page, nil
	})
}

// fromParked adds what the database does not know.
func (h *History) fromParked(ctx context.Context, n *names, p postgres.ParkedDelivery) (admin.Delivery, error) {
	def, err := n.of(ctx, p.WebhookID)
	if err != nil {
		return admin.Delivery{}, err
	}
	p.Webhook = def.Name
	// An admin wants a paused webhook's deliveries to wait.
	p.Pending.Overdue = *p.Pending.Why != string(applier.Paused) && time.Since(p.StoredAt) >= h.limit
	return p.Delivery, nil
}

// names finds what webhooks are called. It reads each once.
type names struct {
	*History
	webhooks map[string]webhook.Definition
}

func (h *History) names() *names {
	return &names{History: h, webhooks: map[string]webhook.Definition{applier.AdjustmentID: {Name: "Adjustment"}}}
}

func (n *names) of(ctx context.Context, id string) (webhook.Definition, error) {
	def, ok := n.webhooks[id]
	if ok {
		return def, nil
	}
	saved, err := n.definitions.Get(ctx, id)
	if err != nil && !errors.Is(err, broker.ErrWebhookNotFound) {
		return def, fmt.Errorf("name the webhook of a pending delivery: %w", err)
	}
	n.webhooks[id] = saved.Definition
	return saved.Definition, nil
}

// ofDelivery is of for a delivery in the stream. An adjustment says itself what an applier
// calls it, and in which community it is.
func (n *names) ofDelivery(ctx context.Context, d delivery.Delivery) (webhook.Definition, error) {
	if d.WebhookID == applier.AdjustmentID && d.Malformed == "" {
		if w, err := applier.Adjusting(d.Body); err == nil {
			return w.Definition, nil
		}
	}
	return n.of(ctx, d.WebhookID)
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

// addWaitingReplays notes which of the failed deliveries have a replay that waits.
func (h *History) addWaitingReplays(ctx context.Context, all []admin.Delivery) error {
	var failed []delivery.ID
	for _, d := range all {
		if d.Status == delivery.Failed {
			failed = append(failed, d.ID)
		}
	}
	replays, err := h.store.FirstParkedReplays(ctx, failed)
	for i := range all {
		all[i].WaitingReplay = replays[all[i].ID]
	}
	return err
}

// ParkedGroups says what is parked. The group that waits longest comes first.
func (h *History) ParkedGroups(ctx context.Context) ([]admin.ParkedGroup, error) {
	groups, err := h.store.ParkedGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	names := h.names()
	for i := range groups {
		def, err := names.of(ctx, groups[i].WebhookID)
		if err != nil {
			return nil, err
		}
		groups[i].Webhook = def.Name
		if groups[i].Community == "" {
			groups[i].Community = def.Community
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
