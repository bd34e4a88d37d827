// Package mapping turns a payload into a Plan, or into the reason why there is
// none. It is pure: the same payload and definition always give the same answer.
package mapping

import (
	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
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
	all, failure := values(w, in)
	if failure != nil {
		return applier.Plan{Key: key}, failure
	}
	here := scope{values: all.values, headers: in.Header, sealed: w.Encryption.IsOn()}
	missingKey := (*delivery.Failure)(nil)
	key, missingKey = keyOf(w, key, raw, &here)
	if c := firstUnmet(program.When, &here); c != nil {
		return skip(key, c, &here, ofAll), nil
	}
	if c, where := noMappingHolds(program, all, &here); c != nil {
		return skip(key, c, where, ofEach), nil
	}
	if missingKey != nil {
		return applier.Plan{}, missingKey
	}
	plan := applier.Plan{Key: key}
	if plan.User, failure = userRef(program, &here); failure != nil {
		return applier.Plan{Key: key}, failure
	}
	if failure = changes(&plan, program, all, &here, community); failure != nil {
		return applier.Plan{Key: key}, failure
	}
	return plan, nil
}

// changes adds to the plan what the mappings change, in their order.
func changes(plan *applier.Plan, program *webhook.Program, all found, in *scope, community *applier.Community) *delivery.Failure {
	plan.Changes = make([]applier.Change, 0, len(program.Mappings))
	for i := range program.Mappings {
		m := &program.Mappings[i]
		var failure *delivery.Failure
		switch {
		case m.Field != "":
			failure = fieldChange(plan, m, in, community)
		case m.Array == webhook.NoSlot:
			failure = change(plan, m, in, community)
		default:
			failure = changeEach(plan, m, all, in, community)
		}
		if failure != nil {
			return failure
		}
	}
	return nil
}

func fieldChange(plan *applier.Plan, m *webhook.CompiledMapping, in *scope, community *applier.Community) *delivery.Failure {
	f, ok := community.Field(m.Field)
	if !ok {
		return fail(delivery.InvalidMapping, "", "The mapping names the custom field %q, which does not exist.", m.Field)
	}
	if firstUnmet(m.When, in) != nil {
		return nil
	}
	text, failure := fieldText(m, in, f)
	if failure == nil {
		plan.Fields = append(plan.Fields, applier.FieldChange{Field: m.Field, Value: text, Revision: f.Revision})
	}
	return failure
}

// change adds that of a mapping to the payload, or to one element.
func change(plan *applier.Plan, m *webhook.CompiledMapping, in *scope, community *applier.Community) *delivery.Failure {
	c, ok := community.Currency(m.Currency)
	if !ok {
		return fail(delivery.InvalidMapping, "", "The mapping names the currency %q, which does not exist.", m.Currency)
	}
	if firstUnmet(m.When, in) != nil {
		return nil
	}
	amount, failure := amountOf(m, in, c)
	if failure == nil && amount != 0 {
		plan.Changes = append(plan.Changes, applier.Change{Currency: m.Currency, Operator: m.Operator, Amount: amount, Scale: c.Scale})
	}
	return failure
}

// changeEach adds one change for each element of an array.
func changeEach(plan *applier.Plan, m *webhook.CompiledMapping, all found, in *scope, community *applier.Community) *delivery.Failure {
	array, at := &all.arrays[m.Array], m.Each.Text()
	switch v := in.values[m.EachSlot]; {
	case !v.present():
		return fail(delivery.MissingField, at, "The payload has %s at %s; each needs an array there.", absentOrNull(v), at)
	case v.kind != jsontext.KindBeginArray:
		return fail(delivery.MissingField, at, "The value at %s is %s; each needs an array there.", at, v.kindName())
	case array.count > webhook.MaxElements:
		return fail(delivery.InvalidPayload, at, "The array at %s has %d elements; each takes at most %d.", at, array.count, webhook.MaxElements)
	}
	for n := range array.count {
		if failure := change(plan, m, in.element(m, array, n), community); failure != nil {
			return failure
		}
	}
	return nil
}
