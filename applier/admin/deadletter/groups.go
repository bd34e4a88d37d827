package deadletter

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// grouping groups dead letters that were already read, as the database does.
type grouping map[groupKey]*admin.Group

type groupKey struct {
	webhookID string
	reason    delivery.Reason
	path      string
}

func (g grouping) add(d admin.Letter) {
	key := groupKey{d.WebhookID, *d.Reason, admin.OrEmpty(d.Path)}
	group, ok := g[key]
	if !ok {
		group = &admin.Group{WebhookID: d.WebhookID, Reason: *d.Reason, Path: d.Path, FirstAt: d.ReceivedAt, LastAt: d.ReceivedAt}
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

func (g grouping) sorted() []admin.Group {
	groups := make([]admin.Group, 0, len(g))
	for _, group := range g {
		groups = append(groups, *group)
	}
	slices.SortFunc(groups, func(a, b admin.Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), bytes.Compare(b.Example[:], a.Example[:]))
	})
	return groups
}
