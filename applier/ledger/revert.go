package ledger

import (
	"slices"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// RevertState says what a revert does with one delivery.
type RevertState string

const (
	Reverted        RevertState = "reverted"
	AlreadyReverted RevertState = "already reverted"
	// LeftOut is what a limit stops.
	LeftOut RevertState = "left out"
	// NotApplied has no effect that could be taken back.
	NotApplied RevertState = "not applied"
)

// UserField names a custom field of a user.
type UserField struct {
	User  delivery.ID
	Field string
}

// Effect is what one delivery did.
type Effect struct {
	User      delivery.ID
	Community string
	// Outcome is "applied", "failed", "duplicate" or "skipped".
	Outcome string
	// WasReverted is set once it was taken back.
	WasReverted bool
	Entries     []Entry
	// Fields are the custom fields that it set, in their order.
	Fields []UserField
}

// IsApplied reports whether there is something to take back.
func (e *Effect) IsApplied() bool { return e.Outcome == string(delivery.Applied) && !e.WasReverted }

// Reversal is what a revert does with one delivery.
type Reversal struct {
	ID      delivery.ID
	State   RevertState
	Failure *delivery.Failure // why it is left out
	// Outcome says what a delivery is that is not applied: "failed", "duplicate",
	// "skipped", or empty when it has no outcome.
	Outcome   string
	Community string
	User      delivery.ID
	Entries   []Undone
	Fields    []FieldReversal
}

// FieldReversal is what becomes of a custom field that the delivery set.
type FieldReversal struct {
	// Of is the index of the field in the effect.
	Of    int
	Field string
	// Before is what the user had, Now what the user has. One that nobody set is no value.
	Before, Now FieldValue
}

// Stays reports whether the field keeps its value.
func (f FieldReversal) Stays() bool { return f.Before.By == f.Now.By }

// Reverting is a revert of several deliveries, one after the other. Each sees what the
// ones before it have left.
type Reverting struct {
	Book
	// Held are the values that users have, Earlier the values that may hold next.
	Held    map[UserField]FieldValue
	Earlier map[UserField][]FieldValue
	// Gone are the deliveries that are reverted here.
	Gone map[delivery.ID]bool
	// Exists reports whether a user is still there.
	Exists        func(user delivery.ID) bool
	Currency      func(community, code string) applier.Currency
	AllowNegative bool
}

// Decide takes one delivery back whole, or not at all. Nil stands for a delivery that has
// no outcome.
func (r *Reverting) Decide(id delivery.ID, e *Effect) Reversal {
	if e == nil {
		return Reversal{ID: id, State: NotApplied}
	}
	d := Reversal{ID: id, Community: e.Community, User: e.User}
	switch {
	case e.Outcome != string(delivery.Applied):
		d.State, d.Outcome = NotApplied, e.Outcome
		return d
	case e.WasReverted || r.Gone[id]:
		d.State = AlreadyReverted
		return d
	case !r.Exists(e.User):
		d.State = LeftOut
		d.Failure = &delivery.Failure{Reason: delivery.UserNotFound, Detail: "The user no longer exists."}
		return d
	}
	currency := func(code string) applier.Currency { return r.Currency(e.Community, code) }
	if d.Entries, d.Failure = r.Undo(e.Entries, currency, r.AllowNegative); d.Failure != nil {
		d.State = LeftOut
		return d
	}
	d.State, r.Gone[id] = Reverted, true
	for i, f := range slices.Backward(e.Fields) {
		d.Fields = append(d.Fields, r.undoField(id, i, f))
	}
	return d
}

// undoField puts the latest earlier value back if the field still has the value of the
// delivery. A later value stays.
func (r *Reverting) undoField(id delivery.ID, i int, f UserField) FieldReversal {
	was := r.Held[f]
	d := FieldReversal{Of: i, Field: f.Field, Before: was, Now: was}
	if was.By == id {
		d.Now = Latest(r.Earlier[f], func(by delivery.ID) bool { return r.Gone[by] })
		r.Held[f] = d.Now
	}
	return d
}
