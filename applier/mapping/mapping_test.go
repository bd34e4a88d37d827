package mapping_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// compile reads a definition as an admin writes it.
func compile(t testing.TB, definition string) *webhook.Webhook {
	t.Helper()
	def, err := webhook.Parse([]byte(definition))
	if err != nil {
		t.Fatalf("parse the definition: %v", err)
	}
	w, err := webhook.Compile(webhook.Record{ID: webhook.NewID(), Definition: def}, 1)
	if err != nil {
		t.Fatalf("compile the definition: %v", err)
	}
	return w
}

// evaluate maps a request whose payload is its body.
func evaluate(w *webhook.Webhook, body []byte, headers func(string) (string, bool)) (applier.Plan, *delivery.Failure) {
	return mapping.Evaluate(w, mapping.Input{Body: body, Header: headers}, guild)
}

// headers gives those of the pairs of name and value.
func headers(pairs ...string) func(name string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

var scales = map[string]int{"xp": 0, "coins": 0, "euro": 2, "grain": 6}

var guild = &applier.Community{
	Currencies: map[string]applier.Currency{
		"euro":  {Code: "euro", Scale: 2},
		"grain": {Code: "grain", Scale: 6},
	},
	Fields: map[string]applier.Field{
		"note": {Name: "note", Type: applier.Text, Revision: 1},
		"size": {Name: "size", Type: applier.Number, Revision: 2},
		"paid": {Name: "paid", Type: applier.Boolean, Revision: 3},
		"born": {Name: "born", Type: applier.Date, Revision: 4},
		"team": {Name: "team", Type: applier.Select, Options: []string{"red", "5", "true"}, Revision: 5},
	},
}
