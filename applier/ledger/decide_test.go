package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var (
	before, retry     = delivery.ID{7}, delivery.ID{8}
	sent, other, ours = [32]byte{1}, [32]byte{2}, [32]byte{3}
)

// spend is a delivery that takes 5 of alice's coins, with an idempotency key.
func spend() ledger.Case {
	return ledger.Case{
		Item: applier.Item{
			Delivery: &delivery.Delivery{ID: retry},
			Webhook:  &webhook.Webhook{Record: webhook.Record{Definition: webhook.Definition{User: &webhook.UserRef{By: "email"}}}},
			Plan: applier.Plan{
				Changes: []applier.Change{{Currency: "coins", Operator: webhook.Subtract, Amount: 5}},
				Key:     &applier.Key{Body: sent, Where: "id"},
			},
		},
		User:     alice,
		Waits:    func() string { return "" },
		Currency: limits(ptr(0), nil),
		Field:    func(string) int64 { return 1 },
	}
}

// The first cause that applies decides, in the order of the code.
func TestDecide(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*ledger.Case)
		want   string // status, outcome or reason, or that it is parked
	}{
		"a first delivery": {func(*ledger.Case) {}, "success applied"},
		"a retry": {func(c *ledger.Case) {
			c.Taken, c.Item.Failure, c.User = ledger.Taken{By: before, Body: sent}, &delivery.Failure{}, delivery.ID{}
		}, "success duplicate"},
		"a retry of what an admin edited": {func(c *ledger.Case) {
			c.Taken = ledger.Taken{By: before, Body: ours, Original: sent}
		}, "success duplicate"},
		"a key with another body": {func(c *ledger.Case) { c.Taken = ledger.Taken{By: before, Body: other} }, "failed idempotency_conflict"},
		"a key with another body of a delivery that is skipped": {func(c *ledger.Case) {
			c.Taken, c.Item.Plan.Skip = ledger.Taken{By: before, Body: other}, true
		}, "success skipped"},
		"a key with another body, which was not edited": {func(c *ledger.Case) {
			c.Taken, c.Item.Plan.Key.Body = ledger.Taken{By: before, Body: other}, [32]byte{}
		}, "failed idempotency_conflict"},
		"one that the mapping refuses": {func(c *ledger.Case) {
			c.Item.Failure, c.User = &delivery.Failure{Reason: delivery.MissingField}, delivery.ID{}
		}, "failed missing_field"},
		"one that is skipped, of nobody": {func(c *ledger.Case) { c.Item.Plan.Skip, c.User = true, delivery.ID{} }, "success skipped"},
		"one of nobody, who would wait": {func(c *ledger.Case) {
			c.User, c.Waits = delivery.ID{}, func() string { return "locked" }
		}, "failed user_not_found"},
		"one whose user is locked": {func(c *ledger.Case) { c.Waits = func() string { return "locked" } }, "parked locked"},
		"more than there is":       {func(c *ledger.Case) { c.Item.Plan.Changes[0].Amount = 11 }, "failed insufficient_balance"},
		"a scale that has changed": {func(c *ledger.Case) { c.Item.Plan.Changes[0].Scale = 2 }, "changed the scale of coins"},
		"a field that has changed": {func(c *ledger.Case) {
			c.Item.Plan.Fields = []applier.FieldChange{{Field: "team", Revision: 2}}
		}, "changed the custom field team"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := spend()
			tc.change(&c)
			coins := ledger.Account{User: alice, Currency: "coins"}
			book := ledger.Book{coins: {Amount: 10, Entries: 1}}
			d, err := book.Decide(c)
			if got := decided(d, err); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			isApplied := d.Outcome == delivery.Applied
			if after := book[coins].Amount; (after == 5) != isApplied || !isApplied && after != 10 {
				t.Errorf("the balance is %d", after)
			}
			if (d.Key != nil) != isApplied || (len(d.Entries) > 0) != isApplied {
				t.Errorf("it takes the key %v and makes %d entries", d.Key, len(d.Entries))
			}
		})
	}
}

func decided(d ledger.Decision, err error) string {
	switch {
	case errors.Is(err, applier.ErrChanged):
		return "changed" + strings.TrimPrefix(err.Error(), applier.ErrChanged.Error()+":")
	case err != nil:
		return err.Error()
	case d.Parked:
		return "parked " + d.Why
	case d.Failure != nil:
		return string(d.Status) + " " + string(d.Failure.Reason)
	}
	return string(d.Status) + " " + string(d.Outcome)
}

func TestDecideReplay(t *testing.T) {
	t.Parallel()
	failed := applier.Settlement{Status: delivery.Failed, Failure: &delivery.Failure{Reason: delivery.UserNotFound}}
	applied := applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied}
	known, noOp := applied, applied
	known.Known, noOp.NoOp = true, true
	for name, tc := range map[string]struct {
		replay         ledger.Replay
		changesNothing bool
		step           ledger.ReplayStep
		want           applier.Settlement
	}{
		"a dead letter":              {ledger.Replay{IsKnown: true, IsDead: true, Outcome: failed}, false, ledger.Run, applier.Settlement{}},
		"one without an outcome":     {ledger.Replay{}, false, ledger.Run, applier.Settlement{}},
		"one that has run":           {ledger.Replay{Executed: true, IsKnown: true, Outcome: applied, IsLocked: true}, false, ledger.Stop, known},
		"one that succeeded since":   {ledger.Replay{IsKnown: true, Outcome: applied}, false, ledger.Note, noOp},
		"one that somebody discards": {ledger.Replay{IsKnown: true, IsDead: true, IsLocked: true, Outcome: failed}, false, ledger.Wait, applier.Settlement{}},
		"one that is removed":        {ledger.Replay{Forgotten: true, IsLocked: true}, false, ledger.Stop, applier.Settlement{Forgotten: true}},
		"one that changes nothing":   {ledger.Replay{IsKnown: true, IsDead: true, Outcome: applied}, true, ledger.Note, noOp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step, s := tc.replay.Decide(tc.changesNothing)
			if diff := cmp.Diff(tc.want, s); step != tc.step || diff != "" {
				t.Errorf("step %d, want %d; %s", step, tc.step, diff)
			}
		})
	}
}

func TestWhoseValueStays(t *testing.T) {
	t.Parallel()
	at := func(id byte, epoch int64, sequence uint64, seconds int) ledger.FieldValue {
		v := ledger.FieldValue{By: delivery.ID{id}, At: ledger.Place{Epoch: epoch, Position: delivery.Position{Sequence: sequence}}}
		if seconds > 0 {
			v.At.StoredAt = time.Unix(int64(seconds), 0)
		}
		return v
	}
	for name, tc := range map[string]struct {
		first, second ledger.FieldValue
		replaces      bool
	}{
		"the later of a stream":                      {at(1, 1, 5, 100), at(2, 1, 6, 101), true},
		"the earlier of a stream":                    {at(2, 1, 6, 101), at(1, 1, 5, 100), false},
		"of a later stream":                          {at(1, 1, 9, 100), at(2, 2, 1, 200), true},
		"of places used again, by time and id":       {at(1, 1, 9, 100), at(2, 1, 3, 200), true},
		"of a clock that went back, by place and id": {at(1, 1, 3, 200), at(2, 1, 9, 100), true},
		"of clocks that hardly differ, by place":     {at(2, 1, 3, 101), at(1, 1, 9, 100), true},
		"without a time, by place":                   {at(2, 1, 3, 0), at(1, 1, 9, 100), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.first.Before(tc.second); got != tc.replaces {
				t.Errorf("replaces: %t, want %t", got, tc.replaces)
			}
			if tc.first.Before(tc.second) == tc.second.Before(tc.first) {
				t.Error("both replace each other, or neither does")
			}
		})
	}
	gone := func(by delivery.ID) bool { return by == delivery.ID{3} }
	values := []ledger.FieldValue{at(2, 1, 2, 1), at(3, 1, 3, 1), at(1, 1, 1, 1)}
	if got := ledger.Latest(values, gone); got.By != (delivery.ID{2}) {
		t.Errorf("the value goes back to the one of %v", got.By)
	}
	if got := ledger.Latest(values[1:2], gone); got.By != (delivery.ID{}) {
		t.Errorf("of none that is left, it goes back to %v", got.By)
	}
}
