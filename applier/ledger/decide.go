package ledger

import (
	"fmt"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Taken says which delivery took effect with an idempotency key. It is zero for a key
// that is free.
type Taken struct {
	By   delivery.ID
	Body [32]byte
	// Original is the body that the sender sent, where an admin edited it before it
	// took effect. A retry has that one.
	Original [32]byte
}

// IsRepeated reports whether a delivery with that body repeats what took effect.
func (t Taken) IsRepeated(body [32]byte) bool {
	return t.Body == body || t.Original != [32]byte{} && t.Original == body
}

// Case is one delivery with everything that decides its outcome.
type Case struct {
	Item applier.Item
	// User is whom the delivery names, zero if nobody has that name.
	User delivery.ID
	// Taken is who has the delivery's idempotency key.
	Taken Taken
	// Waits says why the delivery has to be parked, empty if it can be decided. Only a
	// delivery that would change something waits.
	Waits func() string
	// Currency and Field are the settings as the locks found them. Field returns the
	// revision of a custom field, 0 for none.
	Currency func(code string) (applier.Currency, bool)
	Field    func(name string) int64
}

// Decision is the result for one delivery.
type Decision struct {
	applier.Settlement
	User delivery.ID
	// Why it is parked, if it is.
	Why     string
	Entries []Entry
	Fields  []applier.FieldChange
	// Key is the idempotency key that it takes, nil for none.
	Key *applier.Key
}

// Decide decides a delivery, and books its changes. It checks the idempotency key
// first: a retry of an applied delivery is a duplicate, even if the mapping or the user
// has changed since. The error is applier.ErrChanged: the plan was made with other
// settings, and has to be made again.
func (b Book) Decide(c Case) (Decision, error) {
	d := Decision{User: c.User}
	plan := c.Item.Plan
	if s, ok := repeated(plan, c.Taken); ok {
		d.Settlement = s
		return d, nil
	}
	switch {
	case c.Item.Failure != nil:
		d.Settlement = failed(c.Item.Failure)
		return d, nil
	case plan.Skip:
		d.Settlement = applier.Settlement{Status: delivery.Success, Outcome: delivery.Skipped, Skipped: plan.Why}
		return d, nil
	case c.User == (delivery.ID{}):
		d.Settlement = failed(applier.UserNotFound(c.Item.Webhook))
		return d, nil
	}
	if d.Why = c.Waits(); d.Why != "" {
		d.Settlement = applier.Settlement{Parked: true}
		return d, nil
	}
	if err := c.unchanged(); err != nil {
		return Decision{}, err
	}
	entries, failure := b.Apply(c.User, plan.Changes, c.Currency)
	if failure != nil {
		d.Settlement = failed(failure)
		return d, nil
	}
	d.Settlement = applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied}
	d.Entries, d.Fields, d.Key = entries, plan.Fields, plan.Key
	return d, nil
}

func failed(f *delivery.Failure) applier.Settlement {
	return applier.Settlement{Status: delivery.Failed, Failure: f}
}

// repeated settles a delivery whose idempotency key was taken before. A delivery that a
// condition skips conflicts with nothing: several events about one thing may have its id
// as their key.
func repeated(plan applier.Plan, first Taken) (applier.Settlement, bool) {
	switch {
	case plan.Key == nil || first.By == (delivery.ID{}):
		return applier.Settlement{}, false
	case first.IsRepeated(plan.Key.Body):
		return applier.Settlement{Status: delivery.Success, Outcome: delivery.Duplicate, DuplicateOf: first.By}, true
	case plan.Skip:
		return applier.Settlement{}, false
	}
	return failed(&delivery.Failure{
		Reason: delivery.IdempotencyConflict,
		Detail: fmt.Sprintf("The idempotency key, %s, came before with another body, in the delivery %s.", plan.Key.Where, first.By),
		Path:   plan.Key.Path,
	}), true
}

// unchanged reports whether the plan was made by the scales and custom fields that
// there are now.
func (c Case) unchanged() error {
	for _, change := range c.Item.Plan.Changes {
		if now, ok := c.Currency(change.Currency); ok && now.Scale != change.Scale {
			return fmt.Errorf("%w: the scale of %s", applier.ErrChanged, change.Currency)
		}
	}
	for _, f := range c.Item.Plan.Fields {
		if c.Field(f.Field) != f.Revision {
			return fmt.Errorf("%w: the custom field %s", applier.ErrChanged, f.Field)
		}
	}
	return nil
}
