// Package ledger decides what a delivery's changes do to balances. It is pure: the
// store reads the balances first, and writes them afterwards.
package ledger

import (
	"fmt"
	"math"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Account names one balance.
type Account struct {
	User     delivery.ID
	Currency string
}

// Balance is the state of one account.
type Balance struct {
	// Amount is in the currency's smallest unit.
	Amount int64
	// Entries counts the account's gamification logs, and so numbers them.
	Entries int64
}

// Book holds the balances of the accounts that a batch touches. An account that
// is not in it has a balance of zero.
type Book map[Account]Balance

// Entry is one gamification log: a change as it was made.
type Entry struct {
	Account
	Operator webhook.Operator
	// Amount is the change's own, Balance what the account held after it.
	Amount, Balance int64
	// Number counts the account's entries, from 1.
	Number int64
}

// Before is what the account held before the change.
func (e Entry) Before() int64 {
	if e.Operator == webhook.Subtract {
		return e.Balance + e.Amount
	}
	return e.Balance - e.Amount
}

// Apply makes all changes in their order, or none. It returns the entries, or why the
// changes cannot be made; then the book is unchanged.
func (b Book) Apply(user delivery.ID, changes []applier.Change, currency func(code string) (applier.Currency, bool)) ([]Entry, *delivery.Failure) {
	if len(changes) == 0 {
		return nil, nil
	}
	entries := make([]Entry, 0, len(changes))
	before := make(map[Account]Balance, len(changes))
	for _, change := range changes {
		account := Account{User: user, Currency: change.Currency}
		old := b[account]
		if _, seen := before[account]; !seen {
			before[account] = old
		}
		amount, failure := next(old.Amount, change, currency)
		if failure != nil {
			for account, balance := range before {
				b[account] = balance
			}
			return nil, failure
		}
		now := Balance{Amount: amount, Entries: old.Entries + 1}
		b[account] = now
		entries = append(entries, Entry{
			Account: account, Operator: change.Operator,
			Amount: change.Amount, Balance: now.Amount, Number: now.Entries,
		})
	}
	return entries, nil
}

// next returns the balance after one change. A change may not cross a limit. If the
// balance is already outside, a change may move it toward the limit.
func next(balance int64, change applier.Change, currency func(code string) (applier.Currency, bool)) (int64, *delivery.Failure) {
	cur, ok := currency(change.Currency)
	if !ok {
		return 0, &delivery.Failure{
			Reason: delivery.InvalidMapping,
			Detail: fmt.Sprintf("The mapping names the currency %q, which does not exist.", change.Currency),
		}
	}
	after, ok := signedSum(balance, change)
	up := increases(change)
	switch {
	case !up && (!ok || cur.Minimum != nil && after < *cur.Minimum):
		minimum := int64(math.MinInt64)
		if cur.Minimum != nil {
			minimum = *cur.Minimum
		}
		return 0, &delivery.Failure{
			Reason: delivery.InsufficientBalance,
			Detail: fmt.Sprintf("The balance of %s %s is too low to %s %s: it may not go below %s.",
				cur.Format(balance), cur.Code, change.Operator, cur.Format(change.Amount), cur.Format(minimum)),
		}
	case up && (!ok || cur.Maximum != nil && after > *cur.Maximum):
		maximum := int64(math.MaxInt64)
		if cur.Maximum != nil {
			maximum = *cur.Maximum
		}
		return 0, &delivery.Failure{
			Reason: delivery.BalanceLimitExceeded,
			Detail: fmt.Sprintf("The balance of %s %s leaves no room to %s %s: it may not go above %s.",
				cur.Format(balance), cur.Code, change.Operator, cur.Format(change.Amount), cur.Format(maximum)),
		}
	}
	return after, nil
}

func increases(change applier.Change) bool {
	return (change.Operator == webhook.Add) == (change.Amount > 0)
}

// signedSum adds or subtracts; ok is false when 64 bits do not hold the result.
func signedSum(balance int64, change applier.Change) (sum int64, ok bool) {
	if change.Operator == webhook.Subtract {
		sum = balance - change.Amount
		return sum, (sum < balance) == (change.Amount > 0)
	}
	sum = balance + change.Amount
	return sum, (sum > balance) == (change.Amount > 0)
}
