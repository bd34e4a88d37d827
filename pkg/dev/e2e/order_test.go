package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shopifyMapping is that of docs/guide/orders.md, but for the signature.
const shopifyMapping = `
user: {by: username, path: customer}
idempotency: [{path: id}, {header: X-Shopify-Topic}]
when:
  - {header: X-Shopify-Topic, starts_with: orders/}
mappings:
  - currency: coins
    operator: add
    each: line_items
    when:
      - {path: current_quantity, greater_than: 0}
    value:
      path: sku
      lookup: {gems_500: "500", gems_1200: "1200"}
      default: "0"
      times: {path: current_quantity}
`

func shopifyOrder(user string, id int, lines ...string) string {
	return fmt.Sprintf(`{"id":%d,"customer":%q,"line_items":[%s]}`, id, user, strings.Join(lines, ","))
}

// An order of three lines, a refunded one among them, is credited by SKU and quantity,
// and once for each topic.
func TestAnOrderIsCreditedByItsLines(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shopify", "active", shopifyMapping)
	body := shopifyOrder("ann", 5501234567890,
		`{"sku":"gems_500","quantity":2,"current_quantity":2}`,
		`{"sku":"gems_1200","quantity":1,"current_quantity":0}`,
		`{"sku":"gems_1200","quantity":3,"current_quantity":"3"}`)
	first := w.settled(t, h.deliver(t, body, "X-Shopify-Topic", "orders/paid"))
	wantApplied(t, first)
	got := make([]string, len(first.Changes))
	for i, c := range first.Changes {
		got[i] = c.Currency + " " + c.Operator + " " + c.Amount + " = " + c.Balance
	}
	if diff := cmp.Diff([]string{"coins add 1000 = 1000", "coins add 3600 = 4600"}, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	again := w.settled(t, h.deliver(t, body, "X-Shopify-Topic", "orders/paid"))
	if again.Outcome != "duplicate" || again.DuplicateOf == nil || *again.DuplicateOf != first.ID {
		t.Errorf("the same order again is %+v, want a duplicate of %s", again, first.ID)
	}
	other := w.settled(t, h.deliver(t, body, "X-Shopify-Topic", "orders/edited"))
	wantApplied(t, other)
	w.wantBalances(t, "ann", "9200", "0")
	w.checkLogs(t)
}

// A delivery that a condition skips says which, and what was there instead.
func TestASkippedDeliverySaysWhy(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shopify", "active", shopifyMapping)
	for _, c := range []struct{ topic, lines, want string }{
		{"carts/update", `{"sku":"gems_500","current_quantity":1}`, `A condition does not hold: the header X-Shopify-Topic starts_with "orders/", but it is a string "carts/update".`},
		{"orders/paid", `{"sku":"gems_500","current_quantity":0}`, `No mapping's conditions hold. The first that does not: line_items[0].current_quantity greater_than 0, but it is a number 0.`},
	} {
		id := h.deliver(t, shopifyOrder("ann", 1, c.lines), "X-Shopify-Topic", c.topic)
		d := w.settled(t, id)
		if d.Outcome != "skipped" || d.Detail != c.want {
			t.Errorf("%s is %s, %q, want skipped, %q", c.topic, d.Outcome, d.Detail, c.want)
		}
		if shown := w.coinhook(t, "deliveries", "show", id); !strings.Contains(shown.stdout, c.want) {
			t.Errorf("deliveries show does not say why:\n%s", shown.stdout)
		}
	}
}

// The schema is JSON, and names what editors need.
func TestTheSchemaOfADefinitionIsPrinted(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t)
	got := w.coinhook(t, "webhooks", "schema")
	var schema struct {
		Schema     string                     `json:"$schema"`
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &schema); err != nil || got.code != 0 {
		t.Fatalf("exit %d, %v: %s", got.code, err, got.stdout)
	}
	if schema.Schema != "https://json-schema.org/draft/2020-12/schema" || schema.Properties["mappings"] == nil || schema.Properties["receive"] == nil {
		t.Errorf("it is %s with %d keys", schema.Schema, len(schema.Properties))
	}
}
