package webhook_test

import (
	"fmt"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// A definition is read strictly. Each mistake comes with its line.
func ExampleParse() {
	_, err := webhook.Parse([]byte(`name: Shop
user: {by: email, path: customer.email}
mappings:
  - {currency: coins, operator: give, value: {path: total}}
`))
	fmt.Println(err)

	def, err := webhook.Parse([]byte(`name: Shop
user: {by: email, path: customer.email}
mappings:
  - {currency: coins, operator: add, value: {path: total}}
`))
	fmt.Println(def.Name, def.State, len(def.Mappings), err)
	// Output:
	// line 4: mappings[0].operator: want add or subtract, not "give"
	// Shop draft 1 <nil>
}
