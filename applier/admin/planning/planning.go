// Package planning collects the results of a plan for many deliveries: which would
// fail, which would wait, and what their users would have. Replays, reverts and
// backtests share it.
package planning

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Failing are deliveries that would fail for the same reason.
type Failing struct {
	Reason  delivery.Reason `json:"reason"`
	Path    string          `json:"path"`
	Count   int             `json:"count"`
	Detail  string          `json:"detail"` // the example's
	Example delivery.ID     `json:"example"`
}

// Failures groups deliveries that would fail by reason and path.
type Failures map[failure]*Failing

type failure struct {
	reason delivery.Reason
	path   string
}

// Add counts a delivery.
func (all Failures) Add(id delivery.ID, f *delivery.Failure) {
	key := failure{f.Reason, f.Path}
	if all[key] == nil {
		all[key] = &Failing{Reason: f.Reason, Path: f.Path, Detail: f.Detail, Example: id}
	}
	all[key].Count++
}

// Sorted returns the groups, most deliveries first.
func (all Failures) Sorted() []Failing {
	return sorted(all, func(a, b Failing) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Path, b.Path))
	})
}

// Waiting are deliveries that nothing can be said of now: they would be pending.
type Waiting struct {
	Why     string      `json:"why"`
	Count   int         `json:"count"`
	Example delivery.ID `json:"example"`
}

// Waits groups deliveries that would wait by the reason.
type Waits map[string]*Waiting

// Add counts a delivery.
func (all Waits) Add(id delivery.ID, why error) {
	text := why.Error()
	if all[text] == nil {
		all[text] = &Waiting{Why: text, Example: id}
	}
	all[text].Count++
}

// Sorted returns the groups, most deliveries first.
func (all Waits) Sorted() []Waiting {
	return sorted(all, func(a, b Waiting) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Why, b.Why)) })
}

func sorted[K comparable, V any](all map[K]*V, compare func(a, b V) int) []V {
	list := make([]V, 0, len(all))
	for _, v := range all {
		list = append(list, *v)
	}
	slices.SortFunc(list, compare)
	return list
}

// Balance is what a user would have of a currency.
type Balance struct {
	User     admin.User `json:"user"`
	Currency string     `json:"currency"`
	Before   string     `json:"before"`
	After    string     `json:"after"`
}

// Balances are those that would change.
type Balances map[ledger.Account]*balance

type balance struct {
	community     string
	before, after int64
}

// Add books the entries of a delivery.
func (all Balances) Add(community string, entries ...ledger.Entry) {
	for _, e := range entries {
		if all[e.Account] == nil {
			all[e.Account] = &balance{community: community, before: e.Before()}
		}
		all[e.Account].after = e.Balance
	}
}

// Users adds the users whose balances would change.
func (all Balances) Users(ids map[delivery.ID]bool) {
	for account := range all {
		ids[account.User] = true
	}
}

// Sorted returns the balances by user and currency.
func (all Balances) Sorted(ctx context.Context, store *postgres.Store, users map[delivery.ID]admin.User) ([]Balance, error) {
	list := make([]Balance, 0, len(all))
	for account, b := range all {
		community, err := store.Community(ctx, b.community)
		if err != nil {
			return nil, err
		}
		c, _ := community.Currency(account.Currency)
		list = append(list, Balance{
			User: users[account.User], Currency: account.Currency, Before: c.Format(b.before), After: c.Format(b.after),
		})
	}
	slices.SortFunc(list, func(a, b Balance) int {
		return cmp.Or(CompareUsers(a.User, b.User), cmp.Compare(a.Currency, b.Currency))
	})
	return list, nil
}

// CompareUsers orders users as people look for them.
func CompareUsers(a, b admin.User) int {
	return cmp.Or(cmp.Compare(a.Email, b.Email), cmp.Compare(a.Username, b.Username), bytes.Compare(a.ID[:], b.ID[:]))
}

// namesAtOnce is how many users one query names.
const namesAtOnce = 1000

// Names names users. A user that no longer exists has only an id.
func Names(ctx context.Context, store *postgres.Store, ids map[delivery.ID]bool) (map[delivery.ID]admin.User, error) {
	users := make(map[delivery.ID]admin.User, len(ids))
	for chunk := range slices.Chunk(slices.Collect(maps.Keys(ids)), namesAtOnce) {
		named, err := store.UserNames(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, id := range chunk {
			user := named[id]
			user.ID = id // of one that is not there any more too
			users[id] = user
		}
	}
	return users, nil
}

// InCommunity says how many deliveries of a plan are of a community.
type InCommunity struct {
	Community string `json:"community"`
	Count     int    `json:"count"`
}

// Communities counts deliveries by their community.
type Communities map[string]int

// Sorted returns the communities by name.
func (all Communities) Sorted() []InCommunity {
	list := make([]InCommunity, 0, len(all))
	for _, community := range slices.Sorted(maps.Keys(all)) {
		list = append(list, InCommunity{community, all[community]})
	}
	return list
}

// Allow returns an error unless who asks has a right in all of these communities.
func Allow(ctx context.Context, all []InCommunity, right admin.Right) error {
	for _, one := range all {
		if err := admin.Allow(ctx, one.Community, right); err != nil {
			return err
		}
	}
	return nil
}
