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
		{"a key twice in JSON", "{\"name\": \"N\",\n\"name\": \"M\"}", `line 2: the key "name" occurs here twice`},
		{"a key twice inside JSON", "{\"name\": \"N\", \"auth\":\n {\"api_key\": true, \"api_key\": true}}", `line 2: the key "api_key" occurs here twice`},
		{"a key twice, quoted once", "name: N\n\"name\": M", `line 2: `},
		{"two documents", "name: N\n---\nname: M", "line 3: one file holds one document"},
		{"an anchor", "name: &n N", "line 1: anchors (&)"},
		{"an alias", "name: N\ncommunity: *n", "line 2: anchors (&)"},
		{"a tag", "name: !!str 5", "line 1: anchors (&)"},
		{"a merge key", "name: N\n<<: {state: draft}", "line 2: a key is plain text"},
		{"a number as a key", "name: N\n5: x", `line 2: the key "5" is not known`},
		{"nothing as a key", "name: N\n~: x", "line 2: a key is plain text"},
		{"a tab for indentation", "name: N\nauth:\n\tapi_key: true", "line 3: not valid YAML"},
		{"a bare path with brackets in braces", mapping + "{currency: xp, operator: add, value: {path: a[0].b}}", "must stand in quotes here"},
		{"bytes that are not UTF-8", "name: N\ncommunity: \xff", "line 2: the text is not UTF-8"},
		{"broken JSON", "{\"name\": \"N\",\n\"state\" \"draft\"}", "line "},
		{"JSON that is cut", "{\"name\": \"N\",\n\"auth\": {\"api_key\": true", "line 2: the JSON ends too early: the { of line 2 is not closed. Is the file cut?"},
		{"JSON that is cut in a text", "{\"name\":\n\"N", "line 2: the JSON ends too early: the \" of line 2 is not closed"},
		{"JSON that is cut at a comma", "{\n\"name\": \"N\",\n\n", "line 2: the JSON ends too early: the { of line 1 is not closed"},
		{"a brace alone", "{", "line 1: the JSON ends too early: the { of line 1 is not closed"},
		{"two documents of JSON", "{\"name\": \"N\"}\n{\"name\": \"M\"}", "line 2: one file holds one document; put this one into a file of its own"},
		{"words behind JSON", "{\"name\": \"N\"}\n\nend", "line 3: "},
		{"a bracket too many", "{\"name\": \"N\"}}", "line 1: "},
		{"a comma behind the last entry of JSON", "{\n\"name\": \"N\",\n\"when\": [1,]\n", "line 3: "},
		{"a comma missing in JSON", "{\"name\": \"N\"\n\"state\": \"draft\"}", "line 2: "},
		{"a list of JSON", "[{\"name\": \"N\"}]", "line 1: want an object, not a list; put each webhook into a file of its own"},
		{"nothing but blanks", " \n\n", "line 1: there is nothing here; a definition needs at least a name"},
		{"UTF-16 with a mark", "\xff\xfen\x00a\x00", "line 1: the text is UTF-16; save the file as UTF-8"},
		{"UTF-16 of the other order", "\xfe\xff\x00n\x00a", "line 1: the text is UTF-16; save the file as UTF-8"},
		{"UTF-16 without a mark", "n\x00a\x00", "line 1: a byte here is 0"},
		{"a program", "\x7fELF\x02\x01\x01\x00\x00", "line 1: a byte here is 0: a definition is YAML or JSON in UTF-8"},
		{"a picture", "\x89PNG\r\n\x1a\n", "line 1: the text is not UTF-8"},
		{"an archive", "\x1f\x8b\x08", "line 1: the text is not UTF-8"},
		{"a giant", "name: " + strings.Repeat("x", 300<<10), "the limit is 262144"},
		{"deep nesting", "name: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "line 1: objects and lists are nested more than 16 deep"},
		{"deep nesting in YAML", "name: " + strings.Repeat("[", 40) + "a" + strings.Repeat("]", 40), "line 1: objects and lists are nested more than 16 deep"},
		{"a storm of brackets", "name: N\nwhen: " + strings.Repeat("[", 250_000), "line 2: objects and lists are nested more than 16 deep"},
		{"a storm of braces", strings.Repeat("{a: ", 50_000), "line 1: objects and lists are nested more than 16 deep"},
		{"a storm of dashes", strings.Repeat("- ", 100_000), "line 1: objects and lists are nested more than 16 deep"},

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
		{"a custom field without a value", mapping + "{field: team}", "line 3: mappings[0].value: a value has either a path, a header or a constant"},
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
		{"no value", mapping + "{currency: xp, operator: add}", "line 3: mappings[0].value: a value has either a path, a header or a constant"},
		{"a path and a constant", mapping + "{currency: xp, operator: add, value: {path: a, constant: 1}}", "line 3: mappings[0].value: a value has either a path, a header or a constant"},
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
		{"a header and a path of the user", "name: N\nuser: {by: email, path: a, header: B}", "line 2: user: a user is named by a path or by a header, not both"},
		{"a header of the user that is not kept", "name: N\nuser: {by: email, header: cookie}", "line 2: user.header: Cookie carries a secret and is not kept"},
		{"an empty composite key", "name: N\nidempotency: []", "line 2: idempotency: the list is empty"},
		{"a composite key of bodies", "name: N\nidempotency: [{body: true}]", `line 2: idempotency[0]: the key "body" is not known; the keys here are header, path`},
		{"a composite key of both", "name: N\nidempotency:\n- {path: a}\n- {path: a, header: b}", "line 4: idempotency[1]: want either a path or a header"},
		{"a composite key of one place twice", "name: N\nidempotency: [{header: a}, {header: A}]", "line 2: idempotency[1]: is the same as idempotency[0]"},
		{"a composite key of too many places", "name: N\nidempotency: [" + strings.Repeat("{path: a},", 11) + "]", "line 2: idempotency: has 11 entries; the limit is 10"},
		{"a text for idempotency", "name: N\nidempotency: order.id", "line 2: idempotency: want an object, not text"},

		{"a path and a header", mapping + "{currency: xp, operator: add, value: {path: a, header: b}}", "line 3: mappings[0].value: a value has either a path, a header or a constant"},
		{"a constant with a lookup", mapping + "{currency: xp, operator: add, value: {constant: 1, lookup: {1: 2}}}", "line 3: mappings[0].value.lookup: a constant is never looked up"},
		{"a constant with a default", mapping + "{currency: xp, operator: add, value: {constant: 1, default: 2}}", "line 3: mappings[0].value.default: a constant is always there"},
		{"an empty lookup", mapping + "{currency: xp, operator: add, value: {path: a, lookup: {}}}", "line 3: mappings[0].value.lookup: has no entries"},
		{"a list for a lookup", mapping + "{currency: xp, operator: add, value: {path: a, lookup: [a]}}", "line 3: mappings[0].value.lookup: want an object, not a list"},
		{"no number in a lookup", mapping + "currency: xp\n  operator: add\n  value:\n    path: a\n    lookup:\n      gems: 5\n      more.gems: lots", `line 9: mappings[0].value.lookup.more.gems: "lots" is not a JSON number`},
		{"a list in a lookup", mapping + "{currency: xp, operator: add, value: {path: a, lookup: {b: [1]}}}", "line 3: mappings[0].value.lookup.b: want a number, text, true or false, not a list"},
		{"a long key of a lookup", mapping + "{currency: xp, operator: add, value: {path: a, lookup: {" + strings.Repeat("k", 201) + ": 5}}}", "the key has 201 characters; the limit is 200"},
		{"too many entries", mapping + "{currency: xp, operator: add, value: {path: a, lookup: {" + manyEntries(1001) + "}}}", "line 3: mappings[0].value.lookup: has 1001 entries; the limit is 1000"},
		{"no number for a default", mapping + "{currency: xp, operator: add, value: {path: a, default: none}}", `line 3: mappings[0].value.default: "none" is not a JSON number`},
		{"times of nothing", mapping + "{currency: xp, operator: add, value: {path: a, times: {}}}", "line 3: mappings[0].value.times: want either a path or a header"},
		{"times by a constant in an object", mapping + "{currency: xp, operator: add, value: {path: a, times: {constant: 5}}}", `line 3: mappings[0].value.times: the key "constant" is not known; the keys here are header, path`},
		{"a bad path of times", mapping + "{currency: xp, operator: add, value: {path: a, times: {path: 'a[*]'}}}", `line 3: mappings[0].value.times.path: "a[*]" is not a path`},
		{"no number for max", mapping + "{currency: xp, operator: add, value: {path: a, max: all}}", `line 3: mappings[0].value.max: "all" is not a JSON number`},
		{"a long number for min", mapping + "{currency: xp, operator: add, value: {path: a, min: " + strings.Repeat("1", 41) + "}}", "line 3: mappings[0].value.min: has 41 digits; the limit is 40"},
		{"max below min", mapping + "{currency: xp, operator: add, value: {path: a, min: 10, max: 9.99}}", "line 3: mappings[0].value.max: is less than min, which is 10"},
		{"a field of each", mapping + "{field: team, each: items, value: {path: a}}", "line 3: mappings[0].each: a custom field has one value"},
		{"a clamp of a field", mapping + "{field: team, value: {path: a, max: 5}}", "line 3: mappings[0].value.max: is for amounts of a currency"},
		{"a lookup that a field does not take", mapping + "{field: team, value: {path: a, lookup: {x: purple}}}", "line 3: mappings[0].value.lookup.x: "},
		{"a default that a field does not take", mapping + "{field: team, value: {path: a, default: purple}}", "line 3: mappings[0].value.default: "},
		{"a bad path of each", mapping + "{currency: xp, operator: add, each: 'items[*]', value: {constant: 1}}", `line 3: mappings[0].each: "items[*]" is not a path`},
		{"too many with each", "name: N\nmappings:\n" + strings.Repeat("- {currency: xp, operator: add, each: a, value: {constant: 1}}\n", 21), "line 23: mappings[20].each: is one too many: the limit is 20"},
		{"a bad condition of a mapping", mapping + "{currency: xp, operator: add, when: [{path: a}], value: {path: a}}", "line 3: mappings[0].when[0]: a condition has exactly one of"},

		{"an any in an any", "name: N\nwhen: [{any: [{any: [{path: a, equals: 1}]}]}]", `line 2: when[0].any[0]: the key "any" is not known`},
		{"an any with a test", "name: N\nwhen: [{path: a, equals: 1, any: [{path: b, equals: 1}]}]", "line 2: when[0]: a condition is either a test of its own or an any"},
		{"an empty any", "name: N\nwhen: [{any: []}]", "line 2: when[0]: a condition has either a path or a header; or it is a list, any"},
		{"a bad test in an any", "name: N\nwhen:\n- any:\n  - {path: a, equals: 1}\n  - {path: b, at_least: many}", `line 5: when[0].any[1].at_least: "many" is not a JSON number`},
		{"a comparison with true", "name: N\nwhen: [{path: a, greater_than: true}]", "line 2: when[0].greater_than: want a number, not true or false"},
		{"an empty start", "name: N\nwhen: [{path: a, starts_with: ''}]", "line 2: when[0]: a condition has exactly one of equals, not_equals, in, exists, greater_than,"},
		{"a long end", "name: N\nwhen: [{path: a, ends_with: " + strings.Repeat("x", 201) + "}]", "line 2: when[0].ends_with: has 201 characters; the limit is 200"},
		{"a number to start with", "name: N\nwhen: [{path: a, starts_with: 5}]", "line 2: when[0].starts_with: want text, not a number; put it in quotes"},

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

func manyEntries(n int) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf("sku_%d: 5", i)
	}
	return strings.Join(entries, ", ")
}

func TestEveryErrorIsReported(t *testing.T) {
	t.Parallel()
	_, err := webhook.Parse([]byte("state: busy\nname: ''\nmappings:\n- currency: gems\n  operator: plus\n  value: {}\n"), webhook.KnownCurrencies(known))
	want := strings.Join([]string{
		`line 1: state: want draft, active, paused or disabled, not "busy"`,
		`line 2: name: a webhook needs a name`,
		`line 4: mappings[0].currency: the currency "gems" is not known in this community; add it with coinhook currencies set`,
		`line 5: mappings[0].operator: want add or subtract, not "plus"`,
		`line 6: mappings[0].value: a value has either a path, a header or a constant`,
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
		if got := fmt.Sprint(draft.Validate()); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", state, got, want)
		}
	}
	full := fullDefinition()
	if err := full.Validate(webhook.KnownCurrencies(known)); err != nil {
		t.Errorf("a good definition is refused: %v", err)
	}
	if err := full.Validate(webhook.KnownCurrencies(func(string) bool { return false })); err == nil || !strings.Contains(err.Error(), `currency "coins" is not known`) {
		t.Errorf("currencies that are gone are not noticed: %v", err)
	}
}
