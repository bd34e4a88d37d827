package mapping_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
)

func TestEvaluate(t *testing.T) {
	t.Parallel()
	ada := applier.UserRef{By: webhook.ByEmail, Value: "ada@example.com"}
	t.Run("a payload becomes a plan in the order of the mappings", func(t *testing.T) {
		t.Parallel()
		plan, failure := evaluate(compile(t, shopWebhook), []byte(shopPayload), headers())
		want := applier.Plan{User: ada, Changes: []applier.Change{
			{Currency: "coins", Operator: webhook.Add, Amount: 150},
			{Currency: "xp", Operator: webhook.Add, Amount: 125},
		}}
		if diff := cmp.Diff(want, plan); diff != "" || failure != nil {
			t.Errorf("failure %v, plan (-want +got):\n%s", failure, diff)
		}
	})
	t.Run("a zero amount is left out", func(t *testing.T) {
		t.Parallel()
		body := strings.Replace(shopPayload, `"coins":150`, `"coins":-0.0e5`, 1)
		plan, failure := evaluate(compile(t, shopWebhook), []byte(body), headers())
		want := applier.Plan{User: ada, Changes: []applier.Change{{Currency: "xp", Operator: webhook.Add, Amount: 125}}}
		if diff := cmp.Diff(want, plan); diff != "" || failure != nil {
			t.Errorf("failure %v, plan (-want +got):\n%s", failure, diff)
		}
	})
	t.Run("a signed subtract of a negative value keeps both", func(t *testing.T) {
		t.Parallel()
		w := compile(t, oneMapping("currency: coins, operator: subtract, value: {path: v, signed: true}"))
		plan, failure := evaluate(w, []byte(`{"user":"ada","v":-5}`), headers())
		want := []applier.Change{{Currency: "coins", Operator: webhook.Subtract, Amount: -5}}
		if diff := cmp.Diff(want, plan.Changes); diff != "" || failure != nil {
			t.Errorf("failure %v, changes (-want +got):\n%s", failure, diff)
		}
	})
}

// oneMapping is a webhook with the members of its only mapping.
func oneMapping(members string) string {
	return "name: One\nstate: active\nuser: {by: username, path: user}\nmappings: [{" + members + "}]"
}

func TestFirstFailureWins(t *testing.T) {
	t.Parallel()
	const when = "\nwhen: [{path: type, equals: paid}]"
	for _, c := range []struct{ name, body, reason, path string }{
		{"JSON before conditions", `{"type":"other"`, "invalid_json", ""},
		{"conditions before the user", `{"type":"other"}`, "skip", ""},
		{"the user before the mappings", `{"type":"paid"}`, "missing_user_identifier", "user"},
		{"the first mapping before the second", `{"type":"paid","user":"ada","a":true}`, "invalid_amount", "a"},
		{"then the second mapping", `{"type":"paid","user":"ada","a":1}`, "missing_field", "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			checkAnswer(t, twoMappings+when, c.body, c.reason, c.path)
		})
	}
}

const twoMappings = `
name: Two
state: active
user: {by: username, path: user}
mappings:
  - {currency: coins, operator: add, value: {path: a}}
  - {currency: xp, operator: add, value: {path: b}}`

// checkAnswer evaluates and wants a reason with its path, "skip" or "".
func checkAnswer(t *testing.T, definition, body, reason, path string) *delivery.Failure {
	t.Helper()
	plan, failure := evaluate(compile(t, definition), []byte(body), headers())
	got, gotPath := "", ""
	if failure != nil {
		got, gotPath = string(failure.Reason), failure.Path
		checkDetail(t, failure.Detail)
	} else if plan.Skip {
		got = "skip"
	}
	if got != reason || gotPath != path {
		t.Fatalf("got %q at path %q (%v), want %q at %q", got, gotPath, failure, reason, path)
	}
	return failure
}

func checkDetail(t *testing.T, detail string) {
	t.Helper()
	if !strings.HasSuffix(detail, ".") || len(detail) > 400 || strings.ContainsAny(detail, "\n\t") {
		t.Errorf("the detail is not one short sentence: %q", detail)
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	const missing, invalid = "missing_user_identifier", "invalid_user_identifier"
	for _, c := range []struct{ name, by, value, reason string }{
		{"an email", "email", `"a@b"`, ""},
		{"an email with blanks is left as it is", "email", `" Ada@Example.com "`, ""},
		{"two at signs, one with both sides", "email", `"@a@b"`, ""},
		{"two at signs, none with both sides", "email", `"@a@"`, invalid},
		{"no at sign", "email", `"ada"`, invalid},
		{"nothing before the at sign", "email", `"@b"`, invalid},
		{"nothing after the at sign", "email", `"a@"`, invalid},
		{"only an at sign", "email", `"@"`, invalid},
		{"a username needs no at sign", "username", `"ada"`, ""},
		{"a username of 320 characters", "username", `"` + strings.Repeat("é", 320) + `"`, ""},
		{"a username of 321 characters", "username", `"` + strings.Repeat("é", 321) + `"`, invalid},
		{"an empty username", "username", `""`, invalid},
		{"a control character", "username", `"a\u0000b"`, invalid},
		{"a control character above ASCII", "username", `"a\u0085b"`, invalid},
		{"a number", "username", `17`, invalid},
		{"a boolean", "username", `true`, invalid},
		{"an object", "username", `{"name":"ada"}`, invalid},
		{"an array", "username", `["ada"]`, invalid},
		{"null", "username", `null`, missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			definition := strings.Replace(oneMapping("currency: coins, operator: add, value: {constant: 1}"), "username", c.by, 1)
			body := fmt.Sprintf(`{"user":%s}`, c.value)
			path := map[bool]string{true: "user"}[c.reason != ""]
			failure := checkAnswer(t, definition, body, c.reason, path)
			if failure != nil && strings.Contains(failure.Detail, "ada") {
				t.Errorf("the detail names the user: %q", failure.Detail)
			}
		})
	}
	t.Run("absent", func(t *testing.T) {
		t.Parallel()
		checkAnswer(t, oneMapping("currency: coins, operator: add, value: {constant: 1}"), `{}`, missing, "user")
	})
	t.Run("escapes are read and nothing else is changed", func(t *testing.T) {
		t.Parallel()
		w := compile(t, oneMapping("currency: coins, operator: add, value: {constant: 1}"))
		plan, _ := evaluate(w, []byte(`{"user":" \u0041d\ud83d\ude00\/ "}`), headers())
		if want := " Ad😀/ "; plan.User.Value != want {
			t.Errorf("got %q, want %q", plan.User.Value, want)
		}
	})
}

func TestInvalidMapping(t *testing.T) {
	t.Parallel()
	t.Run("a draft without mappings", func(t *testing.T) {
		t.Parallel()
		checkAnswer(t, "name: Draft", `{}`, "invalid_mapping", "")
	})
	t.Run("a currency that is gone", func(t *testing.T) {
		t.Parallel()
		checkAnswer(t, oneMapping("currency: gone, operator: add, value: {path: v}"), `{"user":"ada"}`, "invalid_mapping", "")
	})
}
