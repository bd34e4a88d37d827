package webhook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
)

func known(code string) bool { return code == "coins" || code == "xp" }

func knownField(name string) (func(string) error, bool) {
	return func(text string) error {
		if name == "team" && text != "red" && text != "blue" {
			return errors.New("want red or blue")
		}
		return nil
	}, name == "team" || name == "note"
}

// Each text is refused with the line and the words given.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const mapping = "name: N\nmappings:\n- "
	for _, c := range []struct{ about, src, want string }{
		{"nothing", "", "line 1: there is nothing here"},
		{"a comment alone", "# nothing\n", "line 1: there is nothing here"},
		{"a list", "- name: N", "line 1: want an object, not a list"},
		{"text", "N", "line 1: want an object, not text"},
		{"no name", "community: c", "line 1: name: a webhook needs a name"},
		{"an unknown key", "name: N\nowner: me", `line 2: the key "owner" is not known; the keys here are auth, community, `},
		{"an unknown key inside", "name: N\nauth:\n  api_key: true\n  oauth: x", `line 4: auth: the key "oauth" is not known; the keys here are allow, api_key, basic, signature`},

		{"a key in capitals", "Name: N", `line 1: the key "Name" is not known`},
		{"a secret", "name: N\napi_key: chk_x", `line 2: the key "api_key" is not known`},
		{"a key twice in YAML", "name: N\nstate: draft\nname: M", `line 3: not valid YAML: mapping key "name" already defined`},
		{"a key twice in JSON", "{\"name\": \"N\",\n\"name\": \"M\"}", `line 2: the key "name" stands here twice`},
		{"a key twice inside JSON", "{\"name\": \"N\", \"auth\":\n {\"api_key\": true, \"api_key\": true}}", `line 2: the key "api_key" stands here twice`},
		{"a key twice, quoted once", "name: N\n\"name\": M", `line 2: `},
		{"two documents", "name: N\n---\nname: M", "line 3: one file holds one document"},
		{"an anchor", "name: &n N", "line 1: anchors (&)"},
		{"an alias", "name: N\ncommunity: *n", "line 2: anchors (&)"},
		{"a tag", "name: !!str 5", "line 1: anchors (&)"},
		{"a merge key", "name: N\n<<: {state: draft}", "line 2: a key is plain text"},
		{"a number as a key", "name: N\n5: x", "line 2: a key is plain text"},
		{"a tab for indentation", "name: N\nauth:\n\tapi_key: true", "line 3: not valid YAML"},
		{"a bare path with brackets in braces", mapping + "{currency: xp, operator: add, value: {path: a[0].b}}", "must stand in quotes here"},
		{"bytes that are not UTF-8", "name: N\ncommunity: \xff", "line 2: the text is not UTF-8"},
		{"broken JSON", "{\"name\": \"N\",\n\"state\" \"draft\"}", "line "},
		{"a giant", "name: " + strings.Repeat("x", 300<<10), "the limit is 262144"},
		{"deep nesting", "name: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "line 1: objects and lists stand in each other more than 16 deep"},
		{"deep nesting in YAML", "name: " + strings.Repeat("[", 40) + "a" + strings.Repeat("]", 40), "line 1: objects and lists stand in each other more than 16 deep"},
		{"a storm of brackets", "name: N\nwhen: " + strings.Repeat("[", 250_000), "line 2: objects and lists stand in each other more than 16 deep"},
		{"a storm of braces", strings.Repeat("{a: ", 50_000), "line 1: objects and lists stand in each other more than 16 deep"},
		{"a storm of dashes", strings.Repeat("- ", 100_000), "line 1: objects and lists stand in each other more than 16 deep"},

		{"a number as a name", "name: 2024", "line 1: name: want text, not a number; put it in quotes"},
		{"a boolean as a name", "name: true", "line 1: name: want text, not true or false; put it in quotes"},
		{"no text at all", "name:\nstate: draft", "line 1: name: want text, not nothing"},
		{"a long name", "name: " + strings.Repeat("é", 101), "line 1: name: a name has at most 100 characters"},
		{"a control character in a name", `name: "a\tb"`, "line 1: name: a name has no control characters"},
		{"a name of blanks", `name: "  "`, "line 1: name: a webhook needs a name"},
		{"a community in capitals", "name: N\ncommunity: Guild", "line 2: community: want 1 to 63 of a-z"},
		{"an empty community", "name: N\ncommunity: ''", "line 2: community: want 1 to 63 of a-z"},
		{"a long community", "name: N\ncommunity: " + strings.Repeat("a", 64), "line 2: community: want 1 to 63"},
		{"text for a boolean", "name: N\nauth: {api_key: 'true'}", "line 2: auth.api_key: want true or false, not text"},
		{"yes for a boolean", "name: N\nauth: {api_key: yes}", "line 2: auth.api_key: want true or false, not text"},
		{"a name like an id", "name: wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", "line 1: name: a name does not look like the id of a webhook"},
		{"an unknown state", "name: N\nstate: resting", `line 2: state: want draft, active, paused or disabled, not "resting"`},
		{"an encryption in capitals", "name: N\nencryption: GCM", `line 2: encryption: want none, cbc or gcm, not "GCM"`},
		{"a secret of the encryption", "name: N\nencryption: gcm\naes_key: x", `line 3: the key "aes_key" is not known`},
		{"an unknown encryption", "name: N\nencryption: aes", `line 2: encryption: want none, cbc or gcm, not "aes"`},
		{"a key of nothing", "name: N\nidempotency: {}", "line 2: idempotency: want exactly one of header, path and body: true"},
		{"a key of two", "name: N\nidempotency: {path: a, body: true}", "line 2: idempotency: want exactly one of header, path and body: true"},
		{"a key of no body", "name: N\nidempotency: {body: false}", "line 2: idempotency: want exactly one of header, path and body: true"},
		{"a bad path of the key", "name: N\nidempotency: {path: a..b}", `line 2: idempotency.path: "a..b" is not a path`},
		{"a bad header of the key", "name: N\nidempotency: {header: 'X Y'}", `line 2: idempotency.header: "X Y" is not the name of a header`},
		{"a header of the key that is not kept", "name: N\nidempotency: {header: cookie}", "line 2: idempotency.header: Cookie carries a secret"},
		{"an unknown part of the key", "name: N\nidempotency: {query: a}", `line 2: idempotency: the key "query" is not known; the keys here are body, header, path`},
		{"late users without an object", "name: N\nlate_users: true", "line 2: late_users: want an object, not true or false"},
		{"late users of nothing", "name: N\nlate_users:\n", "line 2: late_users: want an object, not nothing"},
		{"an unknown part of late users", "name: N\nlate_users:\n  max_age: 7d\n  forever: true", `line 4: late_users: the key "forever" is not known; the keys here are max_age, max_deliveries`},
		{"an age without a unit", "name: N\nlate_users: {max_age: 7}", "line 2: late_users.max_age: want a duration from 1m to 365d, such as 90m, 24h or 7d, not a number"},
		{"an age of nothing", "name: N\nlate_users: {max_age: 0d}", `line 2: late_users.max_age: want a duration from 1m to 365d, such as 90m, 24h or 7d, not "0d"`},
		{"an age of more than a year", "name: N\nlate_users: {max_age: 366d}", `line 2: late_users.max_age: want a duration from 1m to 365d`},
		{"an age beyond all numbers", "name: N\nlate_users: {max_age: 99999999999999999999m}", `line 2: late_users.max_age: want a duration from 1m to 365d`},
		{"an age in the past", "name: N\nlate_users: {max_age: -7d}", `line 2: late_users.max_age: want a duration from 1m to 365d`},
		{"an age in seconds", "name: N\nlate_users: {max_age: 90s}", `line 2: late_users.max_age: want a duration from 1m to 365d`},
		{"no late deliveries", "name: N\nlate_users:\n  max_age: 7d\n  max_deliveries: 0", "line 4: late_users.max_deliveries: want 1 to 10000, not 0"},
		{"too many late deliveries", "name: N\nlate_users: {max_deliveries: 10001}", "line 2: late_users.max_deliveries: want 1 to 10000, not 10001"},
		{"half a late delivery", "name: N\nlate_users: {max_deliveries: 0.5}", `line 2: late_users.max_deliveries: want a whole number such as 100, not "0.5"`},
		{"late deliveries in YAML's grammar", "name: N\nlate_users: {max_deliveries: 1_000}", "line 2: late_users.max_deliveries: want a whole number such as 100, not a number that is not in JSON's grammar"},
		{"all late deliveries", "name: N\nlate_users: {max_deliveries: all}", `line 2: late_users.max_deliveries: want a whole number such as 100, not "all"`},
		{"a list of late deliveries", "name: N\nlate_users: {max_deliveries: [1]}", "line 2: late_users.max_deliveries: want a whole number such as 100, not a list"},
		{"an unknown custom field", mapping + "{field: squad, value: {path: a}}", `line 3: mappings[0].field: the custom field "squad" is not known in this community`},
		{"a custom field twice", mapping + "{field: team, value: {path: a}}\n- {currency: xp, operator: add, value: {path: a}}\n- {field: team, value: {path: b}}", `line 5: mappings[2].field: the custom field "team" is set by mappings[0] already`},
		{"a custom field with an operator", mapping + "{field: team, operator: add, value: {path: a}}", "line 3: mappings[0].operator: a custom field is set to the value and has no operator"},
		{"a custom field with a factor", mapping + "{field: team, value: {path: a, times: 2}}", "line 3: mappings[0].value.times: is for amounts of a currency"},
		{"a rounded custom field", mapping + "{field: team, value: {path: a, round: up}}", "line 3: mappings[0].value.round: is for amounts of a currency"},
		{"a signed custom field", mapping + "{field: team, value: {path: a, signed: true}}", "line 3: mappings[0].value.signed: is for amounts of a currency"},
		{"a custom field without a value", mapping + "{field: team}", "line 3: mappings[0].value: a value has either a path or a constant"},
		{"a constant that the custom field does not take", mapping + "field: team\n  value:\n    constant: green", "line 5: mappings[0].value.constant: want red or blue"},
		{"a constant that is too long", mapping + "{field: note, value: {constant: " + strings.Repeat("x", 4097) + "}}", "line 3: mappings[0].value.constant: the value has 4097 characters; the limit is 4096"},
		{"a currency and a custom field", mapping + "{field: team, currency: xp, value: {path: a}}", "line 3: mappings[0]: a mapping is about a currency or a custom field, not both"},

		{"an active webhook without a user", "name: N\nstate: active\nmappings: [{currency: xp, operator: add, value: {path: a}}]", "line 1: user: an active webhook needs a user"},
		{"an active webhook without mappings", "name: N\nstate: active\nuser: {by: email, path: a}", "line 1: mappings: an active webhook needs at least one mapping"},
		{"an active webhook with an empty list", "name: N\nstate: active\nuser: {by: email, path: a}\nmappings: []", "line 4: mappings: an active webhook needs at least one mapping"},
		{"a user without by", "name: N\nuser:\n  path: a", "line 3: user.by: is missing; want email, username, id or external"},
		{"a user without a path", "name: N\nuser:\n  by: email", "line 3: user.path: a path is missing"},
		{"a bad path of the user", "name: N\nuser:\n  by: email\n  path: a..b", `line 4: user.path: "a..b" is not a path: column 2: descendants (..) are not supported`},
		{"a long path", "name: N\nuser: {by: email, path: " + strings.Repeat("a", 1001) + "}", "line 2: user.path: the path has 1001 characters; the limit is 1000"},

		{"an unknown currency", mapping + "{currency: gems, operator: add, value: {path: a}}", `line 3: mappings[0].currency: the currency "gems" is not known in this community`},
		{"no currency", mapping + "{operator: add, value: {path: a}}", "line 3: mappings[0].currency: a currency is missing"},
		{"no operator", mapping + "{currency: xp, value: {path: a}}", "line 3: mappings[0].operator: is missing; want add or subtract"},
		{"an unknown operator", mapping + "currency: xp\n  operator: plus\n  value: {path: a}", `line 4: mappings[0].operator: want add or subtract, not "plus"`},
		{"no value", mapping + "{currency: xp, operator: add}", "line 3: mappings[0].value: a value has either a path or a constant"},
		{"a path and a constant", mapping + "{currency: xp, operator: add, value: {path: a, constant: 1}}", "line 3: mappings[0].value: a value has either a path or a constant"},
		{"a number for a value", mapping + "{currency: xp, operator: add, value: 5}", "line 3: mappings[0].value: want an object, not a number"},
		{"an unknown rounding", mapping + "{currency: xp, operator: add, value: {path: a, round: nearest}}", `line 3: mappings[0].value.round: want down, up or half_even, not "nearest"`},
		{"a factor with too many digits", mapping + "{currency: xp, operator: add, value: {path: a, times: 0." + strings.Repeat("1", 40) + "}}", "line 3: mappings[0].value.times: has 41 digits; the limit is 40"},
		{"a factor with a large exponent", mapping + "{currency: xp, operator: add, value: {path: a, times: 1e21}}", "line 3: mappings[0].value.times: the exponent is beyond 20"},
		{"a factor with a small exponent", mapping + "{currency: xp, operator: add, value: {path: a, times: 1e-999999999999999999999}}", "line 3: mappings[0].value.times: the exponent is beyond 20"},
		{"too many mappings", "name: N\nmappings:\n" + strings.Repeat("- {currency: xp, operator: add, value: {path: a}}\n", 51), "mappings: has 51 entries; the limit is 50"},

		{"a condition on nothing", "name: N\nwhen: [{equals: a}]", "line 2: when[0]: a condition has either a path or a header"},
		{"a condition on both", "name: N\nwhen: [{path: a, header: b, equals: a}]", "line 2: when[0]: a condition has either a path or a header"},
		{"a condition without a test", "name: N\nwhen: [{path: a}]", "line 2: when[0]: a condition has exactly one of"},
		{"a condition with two tests", "name: N\nwhen: [{path: a, equals: 1, exists: true}]", "line 2: when[0]: a condition has exactly one of"},
		{"a condition with an empty list", "name: N\nwhen: [{path: a, in: []}]", "line 2: when[0]: a condition has exactly one of"},
		{"an object to compare with", "name: N\nwhen: [{path: a, equals: {b: 1}}]", "line 2: when[0].equals: want text, a number, true, false or null, not an object"},
		{"a number of YAML to compare with", "name: N\nwhen: [{path: a, equals: 0x10}]", `line 2: when[0].equals: "0x10" is not a JSON number`},
		{"a number of YAML in a list", "name: N\nwhen:\n- path: a\n  in: [1,\n    1_000]", `line 5: when[0].in[1]: "1_000" is not a JSON number`},
		{"text for exists", "name: N\nwhen: [{path: a, exists: 1}]", "line 2: when[0].exists: want true or false, not a number"},
		{"a bad name of a header", "name: N\nwhen: [{header: 'X Y', equals: a}]", `line 2: when[0].header: "X Y" is not the name of a header`},
		{"a header that is not kept", "name: N\nwhen: [{header: authorization, equals: a}]", "line 2: when[0].header: Authorization carries a secret and is not kept"},
		{"too many conditions", "name: N\nwhen:\n" + strings.Repeat("- {path: a, equals: 1}\n", 51), "when: has 51 entries; the limit is 50"},
	} {
		t.Run(c.about, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.Parse([]byte(c.src), webhook.KnownCurrencies(known), webhook.KnownFields(knownField))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestEveryErrorIsReported(t *testing.T) {
	t.Parallel()
	_, err := webhook.Parse([]byte("state: busy\nname: ''\nmappings:\n- currency: gems\n  operator: plus\n  value: {}\n"), webhook.KnownCurrencies(known))
	want := strings.Join([]string{
		`line 1: state: want draft, active, paused or disabled, not "busy"`,
		`line 2: name: a webhook needs a name`,
		`line 4: mappings[0].currency: the currency "gems" is not known in this community; add it with coinhook currencies set`,
		`line 5: mappings[0].operator: want add or subtract, not "plus"`,
		`line 6: mappings[0].value: a value has either a path or a constant`,
	}, "\n")
	if got := fmt.Sprint(err); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestValidateOnAChangeOfState(t *testing.T) {
	t.Parallel()
	draft, err := webhook.Parse([]byte("name: Draft"))
	if err != nil {
		t.Fatal(err)
	}
	for state, want := range map[webhook.State]string{
		webhook.Draft: "<nil>", webhook.Disabled: "<nil>",
		webhook.Active: "user: an active webhook needs a user; add one, or make the state draft\n" +
			"mappings: an active webhook needs at least one mapping; add one, or make the state draft",
		webhook.Paused: "user: a paused webhook needs a user; add one, or make the state draft\n" +
			"mappings: a paused webhook needs at least one mapping; add one, or make the state draft",
	} {
		draft.State = state
		if got := fmt.Sprint(draft.Validate(nil)); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", state, got, want)
		}
	}
	full := fullDefinition()
	if err := full.Validate(known); err != nil {
		t.Errorf("a good definition is refused: %v", err)
	}
	if err := full.Validate(func(string) bool { return false }); err == nil || !strings.Contains(err.Error(), `currency "coins" is not known`) {
		t.Errorf("currencies that are gone are not noticed: %v", err)
	}
}
