package deadletter

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Group is what dead letters have in common that fail for one cause, in the form
// that programs read.
type Group struct {
	Webhook   string          `json:"webhook"`
	WebhookID string          `json:"webhook_id"`
	Community string          `json:"community"`
	Reason    delivery.Reason `json:"reason"`
	Path      *string         `json:"path"`
	Count     int             `json:"count"`
	// FirstAt and LastAt are when deliveries of the group were received.
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
	// Example is the newest of the group.
	Example delivery.ID `json:"example"`
}

// Groups counts what the filter lets through by webhook, reason and path, most
// first.
func Groups(ctx context.Context, store *postgres.Store, f postgres.DeadLetterFilter) ([]Group, error) {
	rows, err := store.GroupDeadLetters(ctx, f)
	if err != nil {
		return nil, err
	}
	groups := make([]Group, len(rows))
	for i, g := range rows {
		groups[i] = newGroup(g)
	}
	return groups, nil
}

func newGroup(g postgres.DeadLetterGroup) Group {
	return Group{
		Webhook: g.Webhook, WebhookID: g.WebhookID, Community: g.Community, Reason: g.Reason, Path: orNil(g.Path),
		Count: g.Count, FirstAt: g.FirstAt.UTC(), LastAt: g.LastAt.UTC(), Example: g.Example,
	}
}

// grouping groups dead letters that are looked at anyway, as the database does.
type grouping map[groupKey]*postgres.DeadLetterGroup

type groupKey struct {
	webhookID string
	reason    delivery.Reason
	path      string
}

func (g grouping) add(d postgres.DeadLetter) {
	key := groupKey{d.WebhookID, d.Reason, d.Path}
	group, ok := g[key]
	if !ok {
		group = &postgres.DeadLetterGroup{WebhookID: d.WebhookID, Reason: d.Reason, Path: d.Path, FirstAt: d.ReceivedAt, LastAt: d.ReceivedAt}
		g[key] = group
	}
	group.Count++
	if d.ReceivedAt.Before(group.FirstAt) {
		group.FirstAt = d.ReceivedAt
	}
	if d.ReceivedAt.After(group.LastAt) {
		group.LastAt = d.ReceivedAt
	}
	if bytes.Compare(d.ID[:], group.Example[:]) > 0 {
		group.Example, group.Webhook, group.Community = d.ID, d.Webhook, d.Community
	}
}

func (g grouping) sorted() []Group {
	rows := slices.SortedFunc(maps.Values(g), func(a, b *postgres.DeadLetterGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), bytes.Compare(b.Example[:], a.Example[:]))
	})
	groups := make([]Group, len(rows))
	for i, row := range rows {
		groups[i] = newGroup(*row)
	}
	return groups
}
