package postgres

import (
	"slices"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// applied reports whether there is something to take back.
func (t *target) applied() bool { return t.outcome == string(delivery.Applied) && !t.reverted }

// decide walks the batch in its order.
func (u *undoing) decide(ids []delivery.ID) {
	u.reversals = make([]Reversal, 0, len(ids))
	for _, id := range ids {
		r := u.decideOne(id)
		if r.State == Reverted {
			u.gone[id] = true
		}
		u.reversals = append(u.reversals, r)
	}
	u.rows.finish(u)
}

func (u *undoing) decideOne(id delivery.ID) Reversal {
	t := u.targets[id]
	if t == nil {
		return Reversal{ID: id, State: NotApplied}
	}
	r := Reversal{ID: id, Community: t.community, User: t.user}
	switch {
	case t.outcome != string(delivery.Applied):
		r.State, r.Outcome = NotApplied, t.outcome
		return r
	case t.reverted || u.gone[id]:
		r.State = AlreadyReverted
		return r
	case u.locked != nil && !u.locked[t.user]:
		r.State = LeftOut
		r.Failure = &delivery.Failure{Reason: delivery.UserNotFound, Detail: "The user does not exist any more."}
		return r
	}
	undone, failure := u.book.Undo(t.entries, func(code string) applier.Currency { return u.currency(t.community, code) }, u.allowNegative)
	if failure != nil {
		r.State, r.Failure = LeftOut, failure
		return r
	}
	r.State = Reverted
	u.gone[id] = true
	u.rows.addRevert(id)
	for _, e := range undone {
		r.Entries = append(r.Entries, e.Entry)
		u.rows.addLog(t, -t.ordinals[e.Of], e.Entry)
	}
	for _, f := range slices.Backward(t.fields) {
		r.Fields = append(r.Fields, u.undoField(t, f))
	}
	return r
}

// currency returns a currency without limits if there is none of this name any longer.
func (u *undoing) currency(community, code string) applier.Currency {
	if c, ok := u.currencies[inCommunity{community, code}]; ok {
		return c
	}
	if c, ok := applier.BuiltinCurrency(code); ok {
		return c
	}
	return applier.Currency{Code: code}
}

// undoField puts the latest earlier value back if the field still has the value of the
// delivery. A later value stays.
func (u *undoing) undoField(t *target, f fieldSet) FieldReversal {
	now := u.holders[f.userField]
	r := FieldReversal{Field: f.field, Before: held(now), Now: held(now)}
	if now.By != t.id {
		return r
	}
	next := ledger.Latest(u.candidates[f.userField], func(by delivery.ID) bool { return u.gone[by] })
	u.holders[f.userField] = next
	r.Now = held(next)
	u.rows.addField(t, f, next)
	return r
}

func held(v ledger.FieldValue) *HeldValue {
	if v.By == (delivery.ID{}) {
		return nil
	}
	return &HeldValue{Value: v.Text, By: v.By}
}
