package demo

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"text/tabwriter"
)

// sent is a delivery that was accepted.
type sent struct {
	planned planned
	id      string
	got     result
}

// result is what the coinhook command says of a delivery.
type result struct {
	outcome
	Detail  string   `json:"detail"`
	Changes []change `json:"changes"`
}

// check compares every outcome and every balance with what was expected.
func (d *demo) check(ctx context.Context) error {
	var wrong []error
	for _, s := range d.sent {
		wrong = append(wrong, s.check())
	}
	d.title("Balances before and after")
	table := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	for _, user := range users {
		after, err := d.balances(ctx, user)
		if err != nil {
			return err
		}
		for _, currency := range []string{"xp", "coins"} {
			before := d.before[user].of(currency)
			now := after.of(currency)
			fmt.Fprintf(table, "%s\t%s\t%s\t->\t%s\n", user, currency, before.RatString(), now.RatString())
			want := new(big.Rat).Add(before, d.expectedChange(user, currency))
			if now.Cmp(want) != 0 {
				wrong = append(wrong, fmt.Errorf("%s of %s: expected %s, came %s", currency, user, want.RatString(), now.RatString()))
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if err := errors.Join(wrong...); err != nil {
		return fmt.Errorf("not what was expected:\n%w", err)
	}
	d.printf("\nAll %d deliveries ended as expected.\n\n", len(d.sent))
	return nil
}

// expectedChange is the sum of what the deliveries do to a balance. All of the
// demo's that are applied add.
func (d *demo) expectedChange(user, currency string) *big.Rat {
	sum := new(big.Rat)
	for _, s := range d.sent {
		if c := s.planned.change; c != nil && s.planned.user == user && c.Currency == currency {
			sum.Add(sum, balances{currency: c.Amount}.of(currency))
		}
	}
	return sum
}

func (s *sent) check() error {
	if s.got.outcome != s.planned.want {
		return fmt.Errorf("%s, delivery %s: expected %s, came %s (%s)",
			s.planned.name, s.id, s.planned.want, s.got.outcome, s.got.Detail)
	}
	if s.planned.change == nil {
		if len(s.got.Changes) != 0 {
			return fmt.Errorf("%s, delivery %s: expected no change, came %v", s.planned.name, s.id, s.got.Changes)
		}
		return nil
	}
	want := *s.planned.change
	if len(s.got.Changes) == 1 {
		want.Balance = s.got.Changes[0].Balance // checked with the user's balances
		if s.got.Changes[0] == want {
			return nil
		}
	}
	return fmt.Errorf("%s, delivery %s: expected the change %s %s %s, came %v",
		s.planned.name, s.id, want.Operator, want.Amount, want.Currency, s.got.Changes)
}
