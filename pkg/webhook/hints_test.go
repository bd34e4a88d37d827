package webhook_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestMistakesInDefinitionsSayWhatToWrite: these were typed by people who saw the
// format for the first time.
func TestMistakesInDefinitionsSayWhatToWrite(t *testing.T) {
	t.Parallel()
	const head = "name: Shop\nuser: {by: email, path: e}\n"
	mapped := func(value string) string {
		return head + "mappings:\n  - {currency: coins, operator: add, value: " + value + "}\n"
	}
	for src, want := range map[string]string{
		mapped("a.b"):                          `line 4: mappings[0].value: want an object, not text; write {path: a.b} for a path, or {constant: "a.b"} for this text`,
		mapped("5"):                            `want an object, not a number; write {constant: "5"}`,
		mapped("{{ order.total }}"):            "write a path without braces, as in {path: order.total}",
		head + "auth: true\n":                  "line 3: auth: want an object, not true or false; write {api_key: true}",
		head + "auth: stripe\n":                "or {signature: NAME}",
		head + "idempotency: order.id\n":       "write {path: order.id} or {header: order.id}",
		head + "late_users: true\n":            "write {max_age: 7d}",
		head + "receive: POST\n":               "write {methods: [POST]}",
		head + "receive: {methods: PUT}\n":     "want a list, not text; write [PUT]",
		head + "encryption: true\n":            "write none, cbc or gcm",
		head + "when: {path: a, equals: b}\n":  "want a list, not an object; begin each entry of a list with a dash",
		head + "when:\n  - order.paid\n":       "write {path: order.paid, equals: …}",
		head + "mappings:\n\t- {currency: xp}": "line 4: not valid YAML: found character '\t' that cannot start any token; indent with spaces, not with tabs",
		"name: Shop\nuser: customer.email\n":   "write {by: email, path: customer.email}",
		"name: Shop: purchases\n":              "must stand in quotes",
		"Shop":                                 "a definition has lines such as name: Shop",
	} {
		_, err := webhook.Parse([]byte(src))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nsays %v\nwant %s", src, err, want)
		}
	}
	if _, err := webhook.Parse([]byte(head + head)); err == nil || strings.Contains(err.Error(), "quotes") {
		t.Errorf("a key that is there twice: %v", err)
	}
}
