package ledger_test

import (
	"maps"
	"math"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var alice = delivery.ID{1}

func ptr(n int64) *int64 { return &n }

func limits(minimum, maximum *int64) func(string) (applier.Currency, bool) {
	return func(code string) (applier.Currency, bool) {
		return applier.Currency{Code: code, Minimum: minimum, Maximum: maximum}, code != "unknown"
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	coins := ledger.Account{User: alice, Currency: "coins"}
	add := func(n int64) applier.Change {
		return applier.Change{Currency: "coins", Operator: webhook.Add, Amount: n}
	}
	subtract := func(n int64) applier.Change {
		return applier.Change{Currency: "coins", Operator: webhook.Subtract, Amount: n}
	}
	for name, tc := range map[string]struct {
		balance          int64
		changes          []applier.Change
		minimum, maximum *int64
		want             int64
		reason           delivery.Reason
	}{
		"add":                                   {40, []applier.Change{add(50)}, ptr(0), nil, 90, ""},
		"subtract to the minimum":               {40, []applier.Change{subtract(40)}, ptr(0), nil, 0, ""},
		"subtract below the minimum fails":      {40, []applier.Change{subtract(41)}, ptr(0), nil, 40, delivery.InsufficientBalance},
		"subtract below zero without a minimum": {40, []applier.Change{subtract(41)}, nil, nil, -1, ""},
		"the order of the mappings counts":      {0, []applier.Change{subtract(5), add(10)}, ptr(0), nil, 0, delivery.InsufficientBalance},
		"an earlier add pays for a subtract":    {0, []applier.Change{add(10), subtract(5)}, ptr(0), nil, 5, ""},
		"a late failure takes all back":         {7, []applier.Change{add(10), subtract(100)}, ptr(0), nil, 7, delivery.InsufficientBalance},
		"add above the maximum fails":           {95, []applier.Change{add(6)}, ptr(0), ptr(100), 95, delivery.BalanceLimitExceeded},
		"add to the maximum":                    {95, []applier.Change{add(5)}, ptr(0), ptr(100), 100, ""},
		"64 bits are the last limit":            {math.MaxInt64, []applier.Change{add(1)}, ptr(0), nil, math.MaxInt64, delivery.BalanceLimitExceeded},
		"and below too":                         {math.MinInt64, []applier.Change{subtract(1)}, nil, nil, math.MinInt64, delivery.InsufficientBalance},
		"below a raised minimum, up is allowed": {-10, []applier.Change{add(3)}, ptr(0), nil, -7, ""},
		"below a raised minimum, down is not":   {-10, []applier.Change{subtract(1)}, ptr(0), nil, -10, delivery.InsufficientBalance},
		"a signed add of a negative amount":     {10, []applier.Change{add(-4)}, ptr(0), nil, 6, ""},
		"a signed add crosses the minimum":      {3, []applier.Change{add(-4)}, ptr(0), nil, 3, delivery.InsufficientBalance},
		"a signed subtract of a negative":       {10, []applier.Change{subtract(-4)}, ptr(0), nil, 14, ""},
		"subtracting the least number":          {0, []applier.Change{subtract(math.MinInt64)}, ptr(0), nil, 0, delivery.BalanceLimitExceeded},
		"an unknown currency": {
			0, []applier.Change{{Currency: "unknown", Operator: webhook.Add, Amount: 1}}, ptr(0), nil, 0, delivery.InvalidMapping,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := ledger.Book{coins: {Amount: tc.balance, Entries: 3}}
			entries, failure := book.Apply(alice, tc.changes, limits(tc.minimum, tc.maximum))
			var reason delivery.Reason
			if failure != nil {
				reason = failure.Reason
			}
			if reason != tc.reason {
				t.Fatalf("reason %q, want %q", reason, tc.reason)
			}
			if got := book[coins].Amount; got != tc.want {
				t.Errorf("balance %d, want %d", got, tc.want)
			}
			if failure != nil {
				if got := book[coins].Entries; got != 3 || entries != nil {
					t.Errorf("a failure left %d entries and returned %v", got, entries)
				}
				return
			}
			last := entries[len(entries)-1]
			if last.Balance != tc.want || last.Number != 3+int64(len(tc.changes)) {
				t.Errorf("last entry %+v", last)
			}
		})
	}
}

// TestApplyAgreesWithIntegersWithoutLimit checks random books against sums of
// big integers.
func TestApplyAgreesWithIntegersWithoutLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.OneOf(rapid.Int64Range(-20, 20), rapid.Int64())
		minimum := rapid.Ptr(rapid.Int64Range(-5, 0), true).Draw(t, "minimum")
		maximum := rapid.Ptr(rapid.Int64Range(5, 30), true).Draw(t, "maximum")
		book, oracle := ledger.Book{}, map[string]*big.Int{"xp": new(big.Int), "coins": new(big.Int)}
		for range rapid.IntRange(1, 12).Draw(t, "deliveries") {
			var changes []applier.Change
			for range rapid.IntRange(0, 4).Draw(t, "changes") {
				changes = append(changes, applier.Change{
					Currency: rapid.SampledFrom([]string{"xp", "coins"}).Draw(t, "currency"),
					Operator: rapid.SampledFrom([]webhook.Operator{webhook.Add, webhook.Subtract}).Draw(t, "operator"),
					Amount:   amount.Filter(func(n int64) bool { return n != 0 }).Draw(t, "amount"),
				})
			}
			before := maps.Clone(book)
			want, possible := oracleApply(oracle, changes, minimum, maximum)
			entries, failure := book.Apply(alice, changes, limits(minimum, maximum))
			if possible != (failure == nil) {
				t.Fatalf("possible %v, but failure %v", possible, failure)
			}
			if !possible {
				for account, balance := range book {
					if balance != before[account] {
						t.Fatalf("a failure changed %v from %v to %v", account, before[account], balance)
					}
				}
				continue
			}
			oracle = want
			if len(entries) != len(changes) {
				t.Fatalf("%d entries for %d changes", len(entries), len(changes))
			}
			got := map[string]string{}
			exp := map[string]string{}
			for code, sum := range oracle {
				exp[code] = sum.String()
				got[code] = big.NewInt(book[ledger.Account{User: alice, Currency: code}].Amount).String()
			}
			if diff := cmp.Diff(exp, got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func oracleApply(balances map[string]*big.Int, changes []applier.Change, minimum, maximum *int64) (map[string]*big.Int, bool) {
	after := map[string]*big.Int{}
	for code, sum := range balances {
		after[code] = new(big.Int).Set(sum)
	}
	low, high := big.NewInt(math.MinInt64), big.NewInt(math.MaxInt64)
	if minimum != nil {
		low = big.NewInt(*minimum)
	}
	if maximum != nil {
		high = big.NewInt(*maximum)
	}
	for _, c := range changes {
		delta := big.NewInt(c.Amount)
		if c.Operator == webhook.Subtract {
			delta.Neg(delta)
		}
		sum := after[c.Currency].Add(after[c.Currency], delta)
		if delta.Sign() < 0 && sum.Cmp(low) < 0 || delta.Sign() > 0 && sum.Cmp(high) > 0 {
			return nil, false
		}
	}
	return after, true
}
