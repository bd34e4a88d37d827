// Package mapping turns a payload into what it asks for: a Plan, or the reason
// why there is none. It is pure: the same payload and definition always give the
// same answer.
package mapping

import (
	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Evaluate applies a webhook's mapping to a request. community has the currencies and
// custom fields.
//
// The payload must be as the definition's receive says; then come the conditions, the idempotency key,
// the user, and the mappings in their order. The first failure is the answer. The
// Plan of a failure has the key, where it is known: a retry of what was applied
// is a duplicate, whatever became of the mapping since.
func Evaluate(w *webhook.Webhook, in Input, community *applier.Community) (applier.Plan, *delivery.Failure) {
	program := w.Program
	raw := in.payload(&w.Intake)
	key := earlyKey(w, raw, in.Header)
	if program == nil {
		return applier.Plan{Key: key}, fail(delivery.InvalidMapping, "", "The webhook has no user or no mappings yet.")
	}
	values, failure := values(w, in)
	if failure != nil {
		return applier.Plan{Key: key}, failure
	}
	missingKey := (*delivery.Failure)(nil)
	key, missingKey = keyOf(w, key, raw, values)
	for i := range program.When {
		if !holds(&program.When[i], values, in.Header) {
			return applier.Plan{Skip: true, Key: key}, nil
		}
	}
	if missingKey != nil {
		return applier.Plan{}, missingKey
	}
	plan := applier.Plan{Key: key}
	if plan.User, failure = userRef(program, values[program.UserSlot]); failure != nil {
		return applier.Plan{Key: key}, failure
	}
	if failure = changes(&plan, program, values, community); failure != nil {
		return applier.Plan{Key: key}, failure
	}
	return plan, nil
}

// changes adds to the plan what the mappings change, in their order.
func changes(plan *applier.Plan, program *webhook.Program, values []value, community *applier.Community) *delivery.Failure {
	plan.Changes = make([]applier.Change, 0, len(program.Mappings))
	for i := range program.Mappings {
		m := &program.Mappings[i]
		if m.Field != "" {
			f, ok := community.Field(m.Field)
			if !ok {
				return fail(delivery.InvalidMapping, "", "The mapping names the custom field %q, which does not exist.", m.Field)
			}
			text, failure := fieldText(m, values, f)
			if failure != nil {
				return failure
			}
			plan.Fields = append(plan.Fields, applier.FieldChange{Field: m.Field, Value: text, Revision: f.Revision})
			continue
		}
		c, ok := community.Currency(m.Currency)
		if !ok {
			return fail(delivery.InvalidMapping, "", "The mapping names the currency %q, which does not exist.", m.Currency)
		}
		amount, failure := amountOf(m, values, c)
		if failure != nil {
			return failure
		}
		if amount != 0 {
			plan.Changes = append(plan.Changes, applier.Change{Currency: m.Currency, Operator: m.Operator, Amount: amount, Scale: c.Scale})
		}
	}
	return nil
}
