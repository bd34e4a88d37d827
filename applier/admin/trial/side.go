package trial

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// side is an applier that rehearses all deliveries by one definition: users,
// idempotency keys among them and decryption are as in life.
type side struct {
	app       *applier.Applier
	rehearsal *postgres.Rehearsal
	decided   *recorder
}

func newSide(store *postgres.Store, definitions applier.Definitions, evaluate applier.Evaluate) *side {
	s := &side{rehearsal: store.RehearseAfresh(), decided: &recorder{}}
	s.app = applier.New(definitions, store, evaluate, s.rehearsal, s.decided)
	return s
}

// recorder is a reporter that keeps the items of a batch, because a failure for a balance
// had a plan, too.
type recorder struct {
	applier.Silent
	items []applier.Item
}

func (r *recorder) Settled(item applier.Item, _ applier.Settlement) { r.items = append(r.items, item) }

// answer is what a definition makes of a delivery, or why this cannot be said
// now.
type answer struct {
	effect
	waits error
}

// run decides a page.
func (s *side) run(ctx context.Context, page []delivery.Delivery) ([]answer, error) {
	s.decided.items = s.decided.items[:0]
	verdicts := s.app.Handle(ctx, page)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	decisions, next := s.rehearsal.Decisions(), 0
	answers := make([]answer, len(page))
	for i, v := range verdicts {
		switch {
		case v.Parked:
			answers[i].waits = v.Err
		case v.IsSettled():
			answers[i].effect = effectOf(s.decided.items[next], decisions[next])
			next++
		default:
			return nil, fmt.Errorf("find out what becomes of %s: %w", page[i].ID, v.Err)
		}
	}
	return answers, nil
}

// effect is what a definition makes of a delivery.
type effect struct {
	user    delivery.ID // zero where there is none
	changes []ChangeAsked
	fields  []admin.Field // by name: their order changes nothing
	outcome delivery.Outcome
	failure *delivery.Failure
}

// effectOf leaves out the changes of a duplicate or failure, except a failure for a
// balance: the balance was another one when the delivery was sent.
func effectOf(item applier.Item, d postgres.Decision) effect {
	e := effect{outcome: d.Outcome, failure: d.Failure}
	if d.Outcome != delivery.Applied && !e.failsForBalance() {
		return e
	}
	e.user = d.User
	for _, c := range item.Plan.Changes {
		currency := applier.Currency{Code: c.Currency, Scale: c.Scale}
		e.changes = append(e.changes, ChangeAsked{Currency: c.Currency, Operator: string(c.Operator), Amount: currency.Format(c.Amount)})
	}
	for _, f := range item.Plan.Fields {
		e.fields = append(e.fields, admin.Field{Field: f.Field, Value: f.Value})
	}
	slices.SortFunc(e.fields, func(a, b admin.Field) int { return cmp.Compare(a.Field, b.Field) })
	return e
}

func (e *effect) failsForBalance() bool {
	return e.failure != nil && (e.failure.Reason == delivery.InsufficientBalance || e.failure.Reason == delivery.BalanceLimitExceeded)
}

// failsAnyway reports whether a delivery fails with every balance.
func (e *effect) failsAnyway() bool { return e.failure != nil && !e.failsForBalance() }

// isAs compares what two definitions ask for.
func (e *effect) isAs(f *effect) bool {
	return e.user == f.user && e.outcome == f.outcome && slices.Equal(e.changes, f.changes) && slices.Equal(e.fields, f.fields)
}
