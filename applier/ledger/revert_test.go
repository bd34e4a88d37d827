package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var aliceCoins = ledger.Account{User: alice, Currency: "coins"}

// reverting has alice with some coins, which may not go below zero.
func reverting(coins int64) *ledger.Reverting {
	return &ledger.Reverting{
		Book:    ledger.Book{aliceCoins: {Amount: coins, Entries: 7}},
		Held:    map[ledger.UserField]ledger.FieldValue{},
		Earlier: map[ledger.UserField][]ledger.FieldValue{},
		Gone:    map[delivery.ID]bool{},
		Exists:  func(user delivery.ID) bool { return user == alice },
		Currency: func(_, code string) applier.Currency {
			return applier.Currency{Code: code, Minimum: ptr(0)}
		},
	}
}

// adding is what a delivery did that gave alice coins.
func adding(coins int64) *ledger.Effect {
	return &ledger.Effect{
		User: alice, Community: "default", Outcome: string(delivery.Applied),
		Entries: []ledger.Entry{{Account: aliceCoins, Operator: webhook.Add, Amount: coins}},
	}
}

func TestARevertDecidesEachState(t *testing.T) {
	t.Parallel()
	id := delivery.NewID()
	with := func(change func(*ledger.Effect)) *ledger.Effect {
		e := adding(10)
		change(e)
		return e
	}
	for name, tc := range map[string]struct {
		effect  *ledger.Effect
		state   ledger.RevertState
		outcome string
		reason  delivery.Reason
		coins   int64
	}{
		"an applied delivery is reverted":        {adding(10), ledger.Reverted, "", "", 2},
		"one without an outcome is not applied":  {nil, ledger.NotApplied, "", "", 12},
		"one that failed is not applied":         {with(func(e *ledger.Effect) { e.Outcome = "failed" }), ledger.NotApplied, "failed", "", 12},
		"a duplicate is not applied":             {with(func(e *ledger.Effect) { e.Outcome = "duplicate" }), ledger.NotApplied, "duplicate", "", 12},
		"one that was reverted stays so":         {with(func(e *ledger.Effect) { e.WasReverted = true }), ledger.AlreadyReverted, "", "", 12},
		"one whose user is gone is left out":     {with(func(e *ledger.Effect) { e.User = delivery.ID{2} }), ledger.LeftOut, "", delivery.UserNotFound, 12},
		"one that a limit stops is left out":     {adding(13), ledger.LeftOut, "", delivery.InsufficientBalance, 12},
		"one that changed no balance is applied": {with(func(e *ledger.Effect) { e.Entries = nil }), ledger.Reverted, "", "", 12},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := reverting(12)
			got := r.Decide(id, tc.effect)
			reason := delivery.Reason("")
			if got.Failure != nil {
				reason = got.Failure.Reason
			}
			if got.ID != id || got.State != tc.state || got.Outcome != tc.outcome || reason != tc.reason || r.Book[aliceCoins].Amount != tc.coins {
				t.Errorf("%+v, coins %d", got, r.Book[aliceCoins].Amount)
			}
			if r.Gone[id] != (got.State == ledger.Reverted) {
				t.Errorf("gone: %v; %+v", r.Gone[id], got)
			}
		})
	}
}

func TestARevertedDeliveryIsRevertedOnce(t *testing.T) {
	t.Parallel()
	r, id := reverting(25), delivery.NewID()
	for _, want := range []ledger.RevertState{ledger.Reverted, ledger.AlreadyReverted} {
		if got := r.Decide(id, adding(10)); got.State != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	if coins := r.Book[aliceCoins].Amount; coins != 15 {
		t.Errorf("alice has %d coins", coins)
	}
}

// Each delivery sees what the ones before it have left: after the subtraction is back,
// there is enough to take.
func TestARevertSeesWhatTheOnesBeforeItLeft(t *testing.T) {
	t.Parallel()
	subtracting := adding(10)
	subtracting.Entries[0].Operator = webhook.Subtract
	r := reverting(0)
	var states []ledger.RevertState
	for _, e := range []*ledger.Effect{adding(10), subtracting, adding(10)} {
		states = append(states, r.Decide(delivery.NewID(), e).State)
	}
	if diff := cmp.Diff([]ledger.RevertState{ledger.LeftOut, ledger.Reverted, ledger.Reverted}, states); diff != "" {
		t.Error(diff)
	}
}

func TestARevertPutsCustomFieldsBack(t *testing.T) {
	t.Parallel()
	first, second, third := delivery.NewID(), delivery.NewID(), delivery.NewID()
	team := ledger.UserField{User: alice, Field: "team"}
	set := func(by delivery.ID, text string, sequence uint64) ledger.FieldValue {
		return ledger.FieldValue{Text: text, By: by, At: ledger.Place{Position: delivery.Position{Sequence: sequence}}}
	}
	red, blue, green := set(first, "red", 1), set(second, "blue", 2), set(third, "green", 3)
	for name, tc := range map[string]struct {
		held   ledger.FieldValue
		revert []delivery.ID
		want   []ledger.FieldValue // after each
	}{
		"the latest earlier value is back":       {green, []delivery.ID{third}, []ledger.FieldValue{blue}},
		"a later value stays":                    {green, []delivery.ID{second}, []ledger.FieldValue{green}},
		"one that was reverted never comes back": {green, []delivery.ID{second, third}, []ledger.FieldValue{green, red}},
		"in the end there is none":               {green, []delivery.ID{third, second, first}, []ledger.FieldValue{blue, red, {}}},
		"a field that was deleted stays so":      {ledger.FieldValue{}, []delivery.ID{first}, []ledger.FieldValue{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := reverting(0)
			r.Held[team], r.Earlier[team] = tc.held, []ledger.FieldValue{red, green, blue}
			was := tc.held
			for i, id := range tc.revert {
				got := r.Decide(id, &ledger.Effect{User: alice, Outcome: string(delivery.Applied), Fields: []ledger.UserField{team}})
				want := []ledger.FieldReversal{{Field: "team", Before: was, Now: tc.want[i]}}
				if diff := cmp.Diff(want, got.Fields); diff != "" || got.Fields[0].Stays() != (was == tc.want[i]) || r.Held[team] != tc.want[i] {
					t.Errorf("revert %d: %s %+v", i, diff, got)
				}
				was = tc.want[i]
			}
		})
	}
}

func TestARevertUndoesFieldsFromLastToFirst(t *testing.T) {
	t.Parallel()
	fields := []ledger.UserField{{User: alice, Field: "team"}, {User: alice, Field: "level"}}
	got := reverting(0).Decide(delivery.NewID(), &ledger.Effect{User: alice, Outcome: string(delivery.Applied), Fields: fields})
	if len(got.Fields) != 2 || got.Fields[0].Of != 1 || got.Fields[0].Field != "level" || got.Fields[1].Of != 0 {
		t.Errorf("%+v", got.Fields)
	}
}
