package planning

import "cmp"

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
