package mapping_test

import (
	"fmt"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// A definition and a payload make a plan: whose balances change, and how.
func ExampleEvaluate() {
	def, err := webhook.Parse([]byte(`name: Shop
state: active
user: {by: email, path: customer.email}
mappings:
  - {currency: coins, operator: add, value: {path: total}}
  - {currency: xp, operator: add, value: {constant: "10"}}
`))
	if err != nil {
		panic(err)
	}
	shop, err := webhook.Compile(webhook.Record{Definition: def}, 1)
	if err != nil {
		panic(err)
	}
	payload := []byte(`{"customer": {"email": "ann@example.com"}, "total": 150}`)
	plan, failure := mapping.Evaluate(shop, mapping.Pasted(payload), &applier.Community{Name: "default"})
	fmt.Println(failure, plan.User.Value)
	for _, change := range plan.Changes {
		fmt.Println(change.Operator, change.Amount, change.Currency)
	}
	// Output:
	// <nil> ann@example.com
	// add 150 coins
	// add 10 xp
}
