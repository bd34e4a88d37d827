package planning

import (
	"cmp"
	"context"

	"github.com/coinhook/coinhook/applier/admin"
)

// InCommunity says how many deliveries of a plan are of a community.
type InCommunity struct {
	Community string `json:"community"`
	Count     int    `json:"count"`
}

// Communities counts deliveries by their community.
type Communities map[string]*InCommunity

// Add counts deliveries.
func (all Communities) Add(community string, n int) {
	if all[community] == nil {
		all[community] = &InCommunity{Community: community}
	}
	all[community].Count += n
}

// Sorted returns the communities by name.
func (all Communities) Sorted() []InCommunity {
	return sorted(all, func(a, b InCommunity) int { return cmp.Compare(a.Community, b.Community) })
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
