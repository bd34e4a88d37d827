package mapping_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier"
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

func currency(code string) (applier.Currency, bool) {
	scale, ok := scales[code]
	return applier.Currency{Code: code, Scale: scale}, ok
}
