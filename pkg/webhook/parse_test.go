package webhook_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
)

const fullYAML = `# what the shop sends
name: "  Shop purchases "
community: guild-7
state: active
auth:
  api_key: true
encryption: none
user:
  by: email
  path: customer.email
idempotency: {path: "order.ids[0]"}
late_users: {max_age: 24h}
when:
  - {path: type, equals: order.paid}
  - {path: total, not_equals: 1_not_a_number}
  - {path: kind, in: [a, "5", 5.0, true, null]}
  - {path: "$.items[0]", exists: true}
  - {header: x-github-event, equals: pull_request}
mappings:
  - {currency: coins, operator: add, value: {path: order.coins}}
  - {currency: xp, operator: add, value: {path: order.total, times: 10, round: down}}
  - currency: coins
    operator: subtract
    value: {constant: 12.50, signed: true}
  - {field: favourite_team, value: {path: customer.team}}
  - {field: paid, value: {constant: true}}
`

const fullJSON = `{
	"name": "Shop purchases", "community": "guild-7", "state": "active",
	"auth": {"api_key": true}, "encryption": "none",
	"user": {"by": "email", "path": "customer.email"},
	"idempotency": {"path": "order.ids[0]"},
	"late_users": {"max_age": "24h", "max_deliveries": 100},
	"when": [
		{"path": "type", "equals": "order.paid"},
		{"path": "total", "not_equals": "1_not_a_number"},
		{"path": "kind", "in": ["a", "5", 5.0, true, null]},
		{"path": "$.items[0]", "exists": true},
		{"header": "X-Github-Event", "equals": "pull_request"}
	],
	"mappings": [
		{"currency": "coins", "operator": "add", "value": {"path": "order.coins"}},
		{"currency": "xp", "operator": "add", "value": {"path": "order.total", "times": "10", "round": "down"}},
		{"currency": "coins", "operator": "subtract", "value": {"constant": "12.50", "signed": true}},
		{"field": "favourite_team", "value": {"path": "customer.team"}},
		{"field": "paid", "value": {"constant": "true"}}
	]
}`

func number(text string) webhook.Scalar {
	s, err := webhook.NumberText(text)
	if err != nil {
		panic(err)
	}
	return s
}

func fullDefinition() webhook.Definition {
	yes, constant, paid := true, "12.50", "true"
	return webhook.Definition{
		Name: "Shop purchases", Community: "guild-7", State: webhook.Active,
		Auth: webhook.Auth{APIKey: true}, Encryption: webhook.NoEncryption,
		User:        &webhook.UserRef{By: webhook.ByEmail, Path: "customer.email"},
		Idempotency: &webhook.Idempotency{Path: "order.ids[0]"},
		LateUsers:   &webhook.LateUsers{MaxAge: "24h", MaxDeliveries: 100},
		When: []webhook.Condition{
			{Path: "type", Equals: webhook.String("order.paid")},
			{Path: "total", NotEquals: webhook.String("1_not_a_number")},
			{Path: "kind", In: []webhook.Scalar{webhook.String("a"), webhook.String("5"), number("5.0"), webhook.Bool(true), webhook.Null()}},
			{Path: "$.items[0]", Exists: &yes},
			{Header: "X-Github-Event", Equals: webhook.String("pull_request")},
		},
		Mappings: []webhook.Mapping{
			{Currency: "coins", Operator: webhook.Add, Value: webhook.Value{Path: "order.coins"}},
			{Currency: "xp", Operator: webhook.Add, Value: webhook.Value{Path: "order.total", Times: "10", Round: webhook.RoundDown}},
			{Currency: "coins", Operator: webhook.Subtract, Value: webhook.Value{Constant: &constant, Signed: true}},
			{Field: "favourite_team", Value: webhook.Value{Path: "customer.team"}},
			{Field: "paid", Value: webhook.Value{Constant: &paid}},
		},
	}
}

// exactly compares scalars by their text: 5 and 5.0 are equal numbers, but what
// an admin wrote is to be kept.
var exactly = cmp.Comparer(func(a, b webhook.Scalar) bool { return a == b })

func TestParse(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]string{
		"YAML": fullYAML, "JSON": fullJSON,
		"YAML with CRLF":              strings.ReplaceAll(fullYAML, "\n", "\r\n"),
		"YAML after a mark":           "---\n" + fullYAML + "...\n",
		"JSON with a byte order mark": "\uFEFF" + fullJSON,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := webhook.Parse([]byte(src))
			if diff := cmp.Diff(fullDefinition(), got, exactly); diff != "" || err != nil {
				t.Errorf("error %v, definition (-want +got):\n%s", err, diff)
			}
		})
	}
	t.Run("defaults", func(t *testing.T) {
		t.Parallel()
		got, err := webhook.Parse([]byte("name: Draft"))
		want := webhook.Definition{
			Name: "Draft", Community: "default", State: webhook.Draft, StateImplied: true, Auth: webhook.Auth{APIKey: true, Implied: true}, Encryption: webhook.NoEncryption,
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("error %v, definition (-want +got):\n%s", err, diff)
		}
	})
}

func TestParseAuth(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]webhook.Auth{
		"name: A":                         {APIKey: true, Implied: true},
		"name: A\nauth: {}":               {},
		"name: A\nauth: {api_key: false}": {},
		"name: A\nauth: {api_key: true}":  {APIKey: true},
		"name: A\nauth: {basic: {username: shop}, allow: [203.0.113.7, '2001:db8::/32']}": {
			Basic: &webhook.Basic{Username: "shop"}, Allow: []string{"203.0.113.7", "2001:db8::/32"},
		},
		`{"name": "A", "auth": {}}`:          {},
		`{"name": "A", "state": "disabled"}`: {APIKey: true, Implied: true},
	} {
		got, err := webhook.Parse([]byte(src))
		if diff := cmp.Diff(want, got.Auth); err != nil || diff != "" {
			t.Errorf("%q: %v, auth (-want +got):\n%s", src, err, diff)
		}
	}
	for _, src := range []string{"name: A\nauth:", "name: A\nauth: null", `{"name": "A", "auth": null}`, "name: A\nauth: none"} {
		if def, err := webhook.Parse([]byte(src)); err == nil {
			t.Errorf("%q was taken as %+v: no words, no keyless webhook", src, def.Auth)
		}
	}
}

func TestDefinitionAsJSON(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(fullDefinition())
	if err != nil {
		t.Fatal(err)
	}
	var want, compact any
	if err := errors.Join(json.Unmarshal([]byte(fullJSON), &want), json.Unmarshal(got, &compact)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, compact); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	for _, d := range []webhook.Definition{fullDefinition(), {When: []webhook.Condition{
		{Path: "a", Equals: webhook.Null()}, {Path: "b", NotEquals: number("1.50e1")}, {Path: "c", Equals: webhook.String("<é\x00>")},
	}}} {
		var back webhook.Definition
		src, err := json.Marshal(d)
		if err := errors.Join(err, json.Unmarshal(src, &back)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, back, exactly); diff != "" {
			t.Errorf("the JSON %s loses something (-want +got):\n%s", src, diff)
		}
	}
}

func TestNumbersKeepTheirText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"5", "12.50", "-0", "1e5", "1.5E+2", "0.10", "123456789012345678901234567890.00", "1e999999999"} {
		for _, src := range []string{
			"constant: " + text, "constant: '" + text + "'", "{\"constant\": " + text + "}", "{\"constant\": \"" + text + "\"}", "{constant: " + text + "}",
		} {
			if !strings.HasPrefix(src, "{") {
				src = "{" + src + "}"
			}
			def, err := webhook.Parse([]byte("name: N\nmappings: [{currency: xp, operator: add, value: " + src + "}]"))
			if err != nil {
				t.Errorf("%s: %v", src, err)
			} else if got := *def.Mappings[0].Value.Constant; got != text {
				t.Errorf("%s is read as %s", src, got)
			}
		}
	}
	for _, text := range []string{"1_000", "0x10", "0o17", "0b11", "017", ".5", "+5", "5.", ".inf", ".nan", "1e", "abc", "2024-01-01", "true", "null", "[1]", "''", "' 5'"} {
		for _, key := range []string{"constant", "times"} {
			value := "path: v, times: " + text
			if key == "constant" {
				value = "constant: " + text
			}
			_, err := webhook.Parse([]byte("name: N\nmappings:\n- {currency: xp, operator: add, value: {" + value + "}}"))
			if key == "times" && text == "''" {
				continue // an empty factor is none
			}
			if err == nil || !strings.HasPrefix(err.Error(), "line 3: mappings[0].value."+key+": ") {
				t.Errorf("%s: %s gives the error %v", key, text, err)
			}
		}
	}
}

func TestErrorsCanBeTakenApart(t *testing.T) {
	t.Parallel()
	_, err := webhook.Parse([]byte("name: N\nstate: on hold\nuser: {by: phone, path: a}\n"))
	var all webhook.Errors
	var first *webhook.Error
	if !errors.As(err, &all) || !errors.As(err, &first) {
		t.Fatalf("got %v, want Errors", err)
	}
	want := webhook.Errors{
		{Line: 2, Column: 8, Field: "state", Message: `want draft, active, paused or disabled, not "on hold"`},
		{Line: 3, Column: 12, Field: "user.by", Message: `want email, username, id or external, not "phone"`},
	}
	if diff := cmp.Diff(want, all); diff != "" || first != all[0] {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(fullYAML))
	f.Add([]byte(fullJSON))
	f.Add([]byte("name: &a [*a]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		def, err := webhook.Parse(src)
		if err != nil {
			var all webhook.Errors
			if !errors.As(err, &all) || all[0].Line < 1 && len(src) < 256<<10 {
				t.Fatalf("%q: an error without a line: %v", src, err)
			}
			return
		}
		written, err := webhook.Format(def)
		if err != nil {
			t.Fatal(err)
		}
		again, err := webhook.Parse(written)
		if diff := cmp.Diff(def, again, exactly); diff != "" || err != nil {
			t.Fatalf("%q is written as\n%s\n%v\n%s", src, written, err, diff)
		}
		if _, err := webhook.Compile(webhook.Record{Definition: def}, 1); err != nil {
			t.Fatalf("%q is parsed but not compiled: %v", src, err)
		}
	})
}
