// Package mapping turns a payload into what it asks for: a Plan, or the reason
// why there is none. It is pure: the same payload and definition always give the
// same answer.
package mapping

import (
	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Evaluate applies a webhook's mapping to a payload. headers gives the value of a
// header by its canonical name, currency the currency of a code.
//
// The payload must be strict JSON; then come the conditions, the user, and the
// mappings in their order. The first failure is the answer.
func Evaluate(
	w *webhook.Webhook,
	body []byte,
	headers func(name string) (string, bool),
	currency func(code string) (applier.Currency, bool),
) (applier.Plan, *delivery.Failure) {
	program := w.Program
	if program == nil {
		return applier.Plan{}, fail(delivery.InvalidMapping, "", "The webhook has no user or no mappings yet.")
	}
	values, failure := extract(program, body)
	if failure != nil {
		return applier.Plan{}, failure
	}
	for i := range program.When {
		if !holds(&program.When[i], values, headers) {
			return applier.Plan{Skip: true}, nil
		}
	}
	user, failure := userRef(program, values[program.UserSlot])
	if failure != nil {
		return applier.Plan{}, failure
	}
	changes, failure := changes(program, values, currency)
	if failure != nil {
		return applier.Plan{}, failure
	}
	return applier.Plan{User: user, Changes: changes}, nil
}

func changes(
	program *webhook.Program,
	values []value,
	currency func(code string) (applier.Currency, bool),
) ([]applier.Change, *delivery.Failure) {
	changes := make([]applier.Change, 0, len(program.Mappings))
	for i := range program.Mappings {
		m := &program.Mappings[i]
		c, ok := currency(m.Currency)
		if !ok {
			return nil, fail(delivery.InvalidMapping, "", "The mapping names the currency %q, which does not exist.", m.Currency)
		}
		amount, failure := amountOf(m, values, c)
		if failure != nil {
			return nil, failure
		}
		if amount != 0 {
			changes = append(changes, applier.Change{Currency: m.Currency, Operator: m.Operator, Amount: amount})
		}
	}
	return changes, nil
}
