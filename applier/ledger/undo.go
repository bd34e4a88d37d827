package ledger

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Undone is the entry that undoes another one.
type Undone struct {
	// Of is the index of the other one.
	Of int
	Entry
}

// Undo makes the opposite of a delivery's entries, all or none, in the order in which
// they are to be logged. It returns them, or why they cannot be made; then the book is
// unchanged.
//
// Limits apply to the balance after all entries. A balance outside a limit may move
// toward it, not further away; allowNegative lifts the minimum. Increases come first, so
// that no balance is below its minimum in between.
func (b Book) Undo(entries []Entry, currency func(code string) applier.Currency, allowNegative bool) ([]Undone, *delivery.Failure) {
	before := make(map[Account]Balance, len(entries))
	for _, e := range entries {
		before[e.Account] = b[e.Account]
	}
	undone, failure := b.undo(entries, currency)
	for _, e := range entries {
		if failure == nil {
			failure = crossed(before[e.Account].Amount, b[e.Account].Amount, currency(e.Currency), allowNegative)
		}
	}
	if failure != nil {
		for account, balance := range before {
			b[account] = balance
		}
		return nil, failure
	}
	return undone, nil
}

// undo checks only the limit of 64 bits.
func (b Book) undo(entries []Entry, currency func(code string) applier.Currency) ([]Undone, *delivery.Failure) {
	undone := make([]Undone, 0, len(entries))
	for _, of := range undoOrder(entries) {
		e := entries[of]
		old, change := b[e.Account], opposite(e)
		amount, ok := signedSum(old.Amount, change)
		if !ok {
			return nil, outOfRange(old.Amount, change, currency(e.Currency))
		}
		now := Balance{Amount: amount, Entries: old.Entries + 1}
		b[e.Account] = now
		undone = append(undone, Undone{Of: of, Entry: Entry{
			Account: e.Account, Operator: change.Operator, Amount: e.Amount, Balance: now.Amount, Number: now.Entries,
		}})
	}
	return undone, nil
}

// undoOrder returns the entries from last to first; those that increase a balance when
// undone come before the others.
func undoOrder(entries []Entry) []int {
	order := make([]int, len(entries))
	for i := range order {
		order[i] = len(entries) - 1 - i
	}
	rank := func(i int) int {
		if increases(opposite(entries[i])) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(rank(i), rank(j)) })
	return order
}

func opposite(e Entry) applier.Change {
	operator := webhook.Subtract
	if e.Operator == webhook.Subtract {
		operator = webhook.Add
	}
	return applier.Change{Currency: e.Currency, Operator: operator, Amount: e.Amount}
}

// crossed says which limit an undone delivery would leave behind, if any.
func crossed(before, after int64, cur applier.Currency, allowNegative bool) *delivery.Failure {
	switch {
	case after < before && !allowNegative && cur.Minimum != nil && after < *cur.Minimum:
		return &delivery.Failure{
			Reason: delivery.InsufficientBalance,
			Detail: fmt.Sprintf("The balance would go from %s to %s %s: it may not go below %s.",
				cur.Format(before), cur.Format(after), cur.Code, cur.Format(*cur.Minimum)),
		}
	case after > before && cur.Maximum != nil && after > *cur.Maximum:
		return &delivery.Failure{
			Reason: delivery.BalanceLimitExceeded,
			Detail: fmt.Sprintf("The balance would go from %s to %s %s: it may not go above %s.",
				cur.Format(before), cur.Format(after), cur.Code, cur.Format(*cur.Maximum)),
		}
	}
	return nil
}

// outOfRange is the failure of an amount that 64 bits do not hold.
func outOfRange(balance int64, change applier.Change, cur applier.Currency) *delivery.Failure {
	reason, limit := delivery.InsufficientBalance, int64(math.MinInt64)
	if increases(change) {
		reason, limit = delivery.BalanceLimitExceeded, math.MaxInt64
	}
	return &delivery.Failure{
		Reason: reason,
		Detail: fmt.Sprintf("The balance of %s %s cannot %s %s: no balance is beyond %s.",
			cur.Format(balance), cur.Code, change.Operator, cur.Format(change.Amount), cur.Format(limit)),
	}
}
