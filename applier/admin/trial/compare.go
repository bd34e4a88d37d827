package trial

import (
	"cmp"
	"context"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// class is what a definition would change for a delivery.
type class int

const (
	unchanged class = iota
	different
	newlyFailing
	newlySucceeding
	dependsOnBalance
	stillFailing
)

// compare counts a failure for a balance only if both definitions have it, because the
// balance is not the one at that time.
func compare(before, after *effect) class {
	switch {
	case before.failsAnyway() && after.failsAnyway():
		return stillFailing
	case after.failsAnyway():
		return newlyFailing
	case before.failsForBalance() != after.failsForBalance():
		return dependsOnBalance
	case before.failsAnyway():
		return newlySucceeding
	case !before.isAs(after):
		return different
	case after.failsForBalance():
		return stillFailing
	default:
		return unchanged
	}
}

// collector makes a result.
type collector struct {
	result    *Comparison
	keep      int
	failing   planning.Failures
	still     planning.Failures
	undecided planning.Waits
	users     map[delivery.ID]*admin.User
}

func newCollector(r Request, f *found) *collector {
	return &collector{
		result: &Comparison{
			WebhookID: r.Webhook.ID, Webhook: r.Webhook.Name, Version: r.Webhook.Version, Against: cmp.Or(r.Against, Current),
			Asked: r.Last, FromDeadLetters: len(f.letters), Messages: f.messages, GaveUp: f.gaveUp,
			Different: []Case{}, NewlyFailing: []Failing{}, NewlySucceeding: []Case{}, StillFailingBy: []Failing{}, Undecided: []Undecided{},
		},
		keep:    r.Keep,
		failing: planning.Failures{}, still: planning.Failures{}, undecided: planning.Waits{},
		users: map[delivery.ID]*admin.User{},
	}
}

// add counts one delivery.
func (c *collector) add(id delivery.ID, before, after answer) {
	r := c.result
	r.Deliveries++
	if why := cmp.Or(before.waits, after.waits); why != nil {
		c.undecided.Add(id, why)
		return
	}
	switch compare(&before.effect, &after.effect) {
	case unchanged:
		r.Unchanged++
	case different:
		r.DifferentCount++
		c.append(&r.Different, id, before, after)
	case newlyFailing:
		c.failing.Add(id, after.failure)
	case newlySucceeding:
		r.NewlySucceedingCount++
		c.append(&r.NewlySucceeding, id, before, after)
	case dependsOnBalance:
		if r.DependsOnBalance++; r.DependsOnBalanceExample == nil {
			r.DependsOnBalanceExample = &Case{id, c.effect(before), c.effect(after)}
		}
	case stillFailing:
		r.StillFailing++
		c.still.Add(id, after.failure)
	}
}

func (c *collector) append(list *[]Case, id delivery.ID, before, after answer) {
	if c.keep == 0 || len(*list) < c.keep {
		*list = append(*list, Case{id, c.effect(before), c.effect(after)})
	}
}

// effect is an answer as programs read it; its user is named in the end.
func (c *collector) effect(a answer) Effect {
	e := Effect{Changes: a.changes, Fields: a.fields}
	if e.Changes == nil {
		e.Changes = []ChangeAsked{}
	}
	if e.Fields == nil {
		e.Fields = []admin.Field{}
	}
	if a.user != (delivery.ID{}) {
		if c.users[a.user] == nil {
			c.users[a.user] = &admin.User{ID: a.user}
		}
		e.User = c.users[a.user]
	}
	if a.failure != nil {
		e.Reason, e.Detail = &a.failure.Reason, &a.failure.Detail
	} else {
		e.Outcome = &a.outcome
	}
	return e
}

// finish puts the result in order and names users.
func (c *collector) finish(ctx context.Context, store *postgres.Store) (*Comparison, error) {
	c.result.NewlyFailing, c.result.StillFailingBy, c.result.Undecided = c.failing.Sorted(), c.still.Sorted(), c.undecided.Sorted()
	ids := make(map[delivery.ID]bool, len(c.users))
	for id := range c.users {
		ids[id] = true
	}
	users, err := planning.Names(ctx, store, ids)
	for id, u := range users {
		*c.users[id] = u
	}
	return c.result, err
}
