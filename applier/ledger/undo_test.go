package ledger_test

import (
	"maps"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func kept(minimum, maximum *int64) func(string) applier.Currency {
	return func(code string) applier.Currency {
		return applier.Currency{Code: code, Minimum: minimum, Maximum: maximum}
	}
}

func TestUndo(t *testing.T) {
	t.Parallel()
	coins := ledger.Account{User: alice, Currency: "coins"}
	entry := func(op webhook.Operator, n int64) ledger.Entry {
		return ledger.Entry{Account: coins, Operator: op, Amount: n}
	}
	added := func(n int64) ledger.Entry { return entry(webhook.Add, n) }
	subtracted := func(n int64) ledger.Entry { return entry(webhook.Subtract, n) }
	for name, tc := range map[string]struct {
		balance          int64
		entries          []ledger.Entry
		minimum, maximum *int64
		allowNegative    bool
		want             int64
		reason           delivery.Reason
	}{
		"what was added is taken":                   {50, []ledger.Entry{added(50)}, ptr(0), nil, false, 0, ""},
		"what was subtracted is given":              {1, []ledger.Entry{subtracted(9)}, ptr(0), nil, false, 10, ""},
		"what was spent since cannot be taken":      {49, []ledger.Entry{added(50)}, ptr(0), nil, false, 49, delivery.InsufficientBalance},
		"unless a minimum does not count":           {49, []ledger.Entry{added(50)}, ptr(0), nil, true, -1, ""},
		"what leaves no room cannot be given":       {95, []ledger.Entry{subtracted(9)}, ptr(0), ptr(100), true, 95, delivery.BalanceLimitExceeded},
		"the net effect is what counts":             {5, []ledger.Entry{subtracted(6), added(10)}, ptr(0), nil, false, 1, ""},
		"in any order":                              {5, []ledger.Entry{added(10), subtracted(6)}, ptr(0), nil, false, 1, ""},
		"below a raised minimum, up is allowed":     {-10, []ledger.Entry{subtracted(3)}, ptr(0), nil, false, -7, ""},
		"below a raised minimum, down is not":       {-10, []ledger.Entry{added(1)}, ptr(0), nil, false, -10, delivery.InsufficientBalance},
		"above a lowered maximum, down is allowed":  {200, []ledger.Entry{added(1)}, ptr(0), ptr(100), false, 199, ""},
		"a signed add of a negative amount":         {6, []ledger.Entry{added(-4)}, ptr(0), ptr(9), false, 6, delivery.BalanceLimitExceeded},
		"64 bits are a limit that nothing lifts":    {math.MinInt64, []ledger.Entry{added(1)}, nil, nil, true, math.MinInt64, delivery.InsufficientBalance},
		"and above too":                             {math.MaxInt64, []ledger.Entry{subtracted(1)}, nil, nil, true, math.MaxInt64, delivery.BalanceLimitExceeded},
		"a delivery that changed nothing is undone": {3, nil, ptr(0), nil, false, 3, ""},
		"a late failure leaves all of it as it was": {7, []ledger.Entry{added(100), subtracted(5)}, ptr(0), nil, false, 7, delivery.InsufficientBalance},
		"a currency without limits goes below zero": {0, []ledger.Entry{added(5)}, nil, nil, false, -5, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := ledger.Book{coins: {Amount: tc.balance, Entries: 4}}
			undone, failure := book.Undo(tc.entries, kept(tc.minimum, tc.maximum), tc.allowNegative)
			want := ledger.Balance{Amount: tc.want, Entries: 4}
			switch {
			case tc.reason == "" && failure != nil:
				t.Fatalf("failed: %+v", failure)
			case tc.reason != "" && (failure == nil || failure.Reason != tc.reason || undone != nil):
				t.Fatalf("undone %+v, failure %+v, want %s", undone, failure, tc.reason)
			case tc.reason == "":
				want.Entries += int64(len(tc.entries))
			}
			if got := book[coins]; got != want {
				t.Errorf("the account is %+v, want %+v", got, want)
			}
		})
	}
}

// TestUndoIsTheInverseOfApply: where no limit is near, balances are what they
// were, each entry has its opposite, and no balance on the way is below both ends.
func TestUndoIsTheInverseOfApply(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		book := ledger.Book{}
		for _, code := range []string{"coins", "xp"} {
			book[ledger.Account{User: alice, Currency: code}] = ledger.Balance{Amount: rapid.Int64Range(-99, 99).Draw(rt, code)}
		}
		before := maps.Clone(book)
		var changes []applier.Change
		for range rapid.IntRange(0, 6).Draw(rt, "changes") {
			changes = append(changes, applier.Change{
				Currency: rapid.SampledFrom([]string{"coins", "xp"}).Draw(rt, "currency"),
				Operator: rapid.SampledFrom([]webhook.Operator{webhook.Add, webhook.Subtract}).Draw(rt, "operator"),
				Amount:   rapid.Int64Range(-50, 50).Filter(func(n int64) bool { return n != 0 }).Draw(rt, "amount"),
			})
		}
		entries, failure := book.Apply(alice, changes, limits(nil, nil))
		if failure != nil {
			rt.Fatal(failure)
		}
		after := maps.Clone(book)
		undone, failure := book.Undo(entries, kept(nil, nil), false)
		if failure != nil {
			rt.Fatal(failure)
		}
		seen := map[int]bool{}
		for _, u := range undone {
			of := entries[u.Of]
			if seen[u.Of] || u.Account != of.Account || u.Amount != of.Amount || u.Operator == of.Operator {
				rt.Fatalf("%+v undoes %+v", u, of)
			}
			seen[u.Of] = true
			if u.Balance < min(before[u.Account].Amount, after[u.Account].Amount) {
				rt.Fatalf("%+v is below %+v and %+v", u, before[u.Account], after[u.Account])
			}
		}
		if len(undone) != len(entries) {
			rt.Fatalf("%d of %d entries undone", len(undone), len(entries))
		}
		for account, b := range before {
			if diff := cmp.Diff(b.Amount, book[account].Amount); diff != "" {
				rt.Fatal(diff)
			}
		}
	})
}
