package revert

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Plan is what a revert would do, as programs read it.
type Plan struct {
	// Selected are the deliveries that would be reverted.
	Selected        int `json:"selected"`
	AlreadyReverted int `json:"already_reverted"`
	// Communities are those of the selected ones.
	Communities []planning.InCommunity `json:"communities"`
	// LeftOut are those that would leave a balance beyond a limit.
	LeftOut  []LeftOut          `json:"left_out"`
	Balances []planning.Balance `json:"balances"`
	// Fields go back to an earlier value, or to none. FieldsStay were written by
	// something later, and stay as they are.
	Fields     []FieldBack `json:"fields"`
	FieldsStay []FieldStay `json:"fields_stay"`
	// NotApplied are those that were named and have no effect to take back.
	NotApplied []NotApplied `json:"not_applied"`

	ids []delivery.ID // that are selected, newest first
}

// LeftOut is a delivery that a limit stops.
type LeftOut struct {
	ID     delivery.ID     `json:"id"`
	User   admin.User      `json:"user"`
	Reason delivery.Reason `json:"reason"`
	Detail string          `json:"detail"`
}

// FieldBack is what a user would have in a custom field; null is no value.
type FieldBack struct {
	User   admin.User `json:"user"`
	Field  string     `json:"field"`
	Before *string    `json:"before"`
	After  *string    `json:"after"`
}

// FieldStay is a custom field that a delivery which is not reverted has written
// since.
type FieldStay struct {
	User       admin.User  `json:"user"`
	Field      string      `json:"field"`
	Value      string      `json:"value"`
	DeliveryID delivery.ID `json:"delivery_id"`
}

// NotApplied is a delivery without an effect: it failed, changed nothing, is
// pending or unknown.
type NotApplied struct {
	ID    delivery.ID `json:"id"`
	State string      `json:"state"`
}

// planner collects a plan.
type planner struct {
	store     *postgres.Store
	rehearsal *postgres.RevertRehearsal

	plan     Plan
	left     []ledger.Reversal
	balances planning.Balances
	fields   map[ledger.UserField]*field

	communities planning.Communities
}

// field is a custom field that a selected delivery has set.
type field struct{ before, after ledger.FieldValue }

func newPlanner(store *postgres.Store, request *Request) *planner {
	return &planner{
		store: store, rehearsal: store.RehearseRevert(request.options()),
		plan: Plan{
			LeftOut: []LeftOut{}, Balances: []planning.Balance{}, Fields: []FieldBack{}, FieldsStay: []FieldStay{}, NotApplied: []NotApplied{},
		},
		balances: planning.Balances{}, fields: map[ledger.UserField]*field{}, communities: planning.Communities{},
	}
}

// rehearse decides a batch as the run would.
func (p *planner) rehearse(ctx context.Context, ids []delivery.ID) error {
	reversals, err := p.rehearsal.Revert(ctx, ids)
	if err != nil {
		return err
	}
	for _, r := range reversals {
		switch r.State {
		case ledger.Reverted:
			p.note(r)
		case ledger.AlreadyReverted:
			p.plan.AlreadyReverted++
		case ledger.LeftOut:
			p.left = append(p.left, r)
		default:
			p.plan.NotApplied = append(p.plan.NotApplied, NotApplied{ID: r.ID, State: cmp.Or(r.Outcome, "unknown or pending")})
		}
	}
	return ctx.Err()
}

// note adds one delivery to the plan.
func (p *planner) note(r ledger.Reversal) {
	p.plan.Selected++
	p.communities[r.Community]++
	p.plan.ids = append(p.plan.ids, r.ID)
	for _, e := range r.Entries {
		p.balances.Add(r.Community, e.Entry)
	}
	for _, f := range r.Fields {
		key := ledger.UserField{User: r.User, Field: f.Field}
		if p.fields[key] == nil {
			p.fields[key] = &field{before: f.Before}
		}
		p.fields[key].after = f.Now
	}
}

// finish names the users, and puts the plan in order.
func (p *planner) finish(ctx context.Context) error {
	p.plan.Communities = p.communities.Sorted()
	ids := map[delivery.ID]bool{}
	p.balances.Users(ids)
	for key := range p.fields {
		ids[key.User] = true
	}
	for _, r := range p.left {
		ids[r.User] = true
	}
	users, err := planning.Names(ctx, p.store, ids)
	if err != nil {
		return err
	}
	for _, r := range p.left {
		p.plan.LeftOut = append(p.plan.LeftOut, newLeftOut(r, users))
	}
	p.finishFields(users)
	p.plan.Balances, err = p.balances.Sorted(ctx, p.store, users)
	return err
}

func (p *planner) finishFields(users map[delivery.ID]admin.User) {
	for key, f := range p.fields {
		user := users[key.User]
		switch {
		case f.before.IsNone() && f.after.IsNone(): // an admin deleted it
		case f.before.By == f.after.By:
			p.plan.FieldsStay = append(p.plan.FieldsStay, FieldStay{User: user, Field: key.Field, Value: f.after.Text, DeliveryID: f.after.By})
		default:
			p.plan.Fields = append(p.plan.Fields, FieldBack{User: user, Field: key.Field, Before: text(f.before), After: text(f.after)})
		}
	}
	slices.SortFunc(p.plan.Fields, func(a, b FieldBack) int {
		return cmp.Or(planning.CompareUsers(a.User, b.User), strings.Compare(a.Field, b.Field))
	})
	slices.SortFunc(p.plan.FieldsStay, func(a, b FieldStay) int {
		return cmp.Or(planning.CompareUsers(a.User, b.User), strings.Compare(a.Field, b.Field))
	})
}

func text(v ledger.FieldValue) *string {
	if v.IsNone() {
		return nil
	}
	return &v.Text
}
