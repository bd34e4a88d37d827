package mapping_test

import (
	"fmt"
	"testing"
)

// TestExternalIDs: they are compared exactly, so that a number counts as its text, and
// only where nobody can write it in two ways.
func TestExternalIDs(t *testing.T) {
	t.Parallel()
	const definition = `
name: Game
state: active
user: {by: external, kind: steam, path: player.id}
mappings: [{currency: coins, operator: add, value: {constant: 1}}]
`
	const refused = "; a user's steam id is a string, or a whole number without an exponent."
	for id, want := range map[string]string{
		`"76561198000000000"`:   "76561198000000000",
		`76561198000000000`:     "76561198000000000",
		`123456789012345678901`: "123456789012345678901", // beyond 64 bits
		`"0076"`:                "0076",
		`-7`:                    "-7",
		`" Bob#1 "`:             " Bob#1 ",
		`"B\u006fb"`:            "Bob",
		`1.0`:                   "The value at player.id is a number" + refused,
		`1e3`:                   "The value at player.id is a number" + refused,
		`true`:                  "The value at player.id is a boolean" + refused,
		`["a"]`:                 "The value at player.id is an array" + refused,
		`""`:                    "The string at player.id is empty; it should be a user's steam id.",
		`"a\nb"`:                "The string at player.id holds a control character; a user's steam id has none.",
		`null`:                  "The value at player.id is null.",
	} {
		plan, failure := evaluate(compile(t, definition), fmt.Appendf(nil, `{"player":{"id":%s}}`, id), headers())
		got := plan.User.Value
		if failure != nil {
			got = failure.Detail
		} else if kind, ok := plan.User.By.ExternalKind(); !ok || kind != "steam" {
			t.Errorf("%s: found by %s", id, plan.User.By)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
}
