package mapping_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
)

const orderWebhook = `
name: Shop
state: active
user: {by: email, path: email}
idempotency: [{path: id}, {header: X-Topic}]
mappings:
  - currency: coins
    operator: add
    each: line_items
    when: [{path: refunded, not_equals: true}]
    value:
      path: sku
      lookup: {gems_500: "500", gems_1200: "1200", 77: "7"}
      default: "0"
      times: {path: quantity}
      max: "5000"
`

func order(lines ...string) string {
	return `{"id":9,"email":"ada@example.com","line_items":[` + strings.Join(lines, ",") + `]}`
}

func add(amounts ...int64) []applier.Change {
	changes := make([]applier.Change, len(amounts))
	for i, a := range amounts {
		changes[i] = applier.Change{Currency: "coins", Operator: webhook.Add, Amount: a}
	}
	return changes
}

func TestEach(t *testing.T) {
	t.Parallel()
	many := make([]string, 1001)
	for i := range many {
		many[i] = `{"sku":77,"quantity":1}`
	}
	for _, c := range []struct {
		name, body string
		changes    []applier.Change
		failure    string // its reason, path and detail
	}{
		{"lines that count", order(`{"sku":"gems_500","quantity":2}`, `{"sku":"gems_1200","quantity":1,"refunded":true}`, `{"sku":77,"quantity":"3"}`), add(1000, 21), ""},
		{"a clamped line", order(`{"sku":"gems_1200","quantity":100}`), add(5000), ""},
		{"a product that gives nothing", order(`{"sku":"shirt","quantity":1}`), add(), ""},
		{"members that nobody asked for", order(`{"quantity":1,"tags":[{"sku":"gems_500"}],"sku":"gems_500","x":{}}`), add(500), ""},
		{"an empty array", order(), add(), ""},
		{"the most elements", order(many[1:]...), add(slicesOf(7, 1000)...), ""},
		{"one too many", order(many...), nil, "invalid_payload line_items: The array at line_items has 1001 elements; each takes at most 1000."},
		{"no array", `{"id":9,"email":"a@b"}`, nil, "missing_field line_items: The payload has nothing at line_items; each needs an array there."},
		{"null for an array", `{"id":9,"email":"a@b","line_items":null}`, nil, "missing_field line_items: The payload has null at line_items; each needs an array there."},
		{"an object for an array", `{"id":9,"email":"a@b","line_items":{"sku":"gems_500"}}`, nil, "missing_field line_items: The value at line_items is an object; each needs an array there."},
		{"a line without a quantity", order(`{"sku":"gems_500","quantity":1}`, `{"sku":"gems_500"}`), nil, "missing_field line_items[*].quantity: The payload has no value at line_items[1].quantity."},
		{"a line with half a quantity", order(`{"sku":77,"quantity":0.5}`), nil, "invalid_amount line_items[*].sku: The value at line_items[0].sku, looked up as 7 times 0.5 at line_items[0].quantity, has more decimals than coins keeps, which is 0, and the mapping does not round."},
		{"an element that is no object", order(`5`), nil, "missing_field line_items[*].quantity: The payload has no value at line_items[0].quantity."},
		{"a broken line", order(`{"sku":"gems_500","quantity":1`), nil, "invalid_json : The payload is not valid JSON at byte 78: a character that JSON does not allow here."},
		{"a name twice in a line", order(`{"sku":"gems_500","quantity":1,"sku":"x"}`), nil, "invalid_json : The payload is not valid JSON at byte 79: an object has the same name twice."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			plan, failure := evaluate(compile(t, orderWebhook), []byte(c.body), headers("X-Topic", "paid"))
			got := ""
			if failure != nil {
				got = fmt.Sprintf("%s %s: %s", failure.Reason, failure.Path, failure.Detail)
			}
			if diff := cmp.Diff(c.changes, plan.Changes); got != c.failure || diff != "" {
				t.Errorf("failure %q\nwant    %q\nchanges (-want +got):\n%s", got, c.failure, diff)
			}
		})
	}
}

func slicesOf(amount int64, n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = amount
	}
	return all
}

// TestEachNextToPlaces: an array of which all elements are wanted, and some by their
// place, from either end.
func TestEachNextToPlaces(t *testing.T) {
	t.Parallel()
	w := compile(t, `
name: Places
state: active
user: {by: username, path: "a[-1].user"}
mappings:
  - {currency: coins, operator: add, each: a, value: {path: n}}
  - {currency: coins, operator: add, value: {path: "a[0].n"}}
  - {currency: coins, operator: add, value: {path: "a[-2].n"}}
  - {currency: coins, operator: add, each: "a[-1].more", value: {path: $}}
  - {currency: coins, operator: add, each: "a[2].more", value: {path: $, times: "10"}}
  - {currency: coins, operator: add, each: a, value: {path: n, times: "100"}}
`)
	body := `{"a": [ {"n":1,"more":[9]}, {"n":2} , {"more":[5, 6],"n":3,"user":"ada"} ]}`
	plan, failure := evaluate(w, []byte(body), headers())
	if diff := cmp.Diff(add(1, 2, 3, 1, 2, 5, 6, 50, 60, 100, 200, 300), plan.Changes); failure != nil || diff != "" {
		t.Errorf("failure %v, changes (-want +got):\n%s", failure, diff)
	}
}

func TestHeadersAsSources(t *testing.T) {
	t.Parallel()
	const definition = `
name: Headers
state: active
user: {by: username, header: X-User}
mappings:
  - {currency: coins, operator: add, value: {header: X-Points, times: {header: X-Factor}}}
  - {field: note, value: {header: X-Note, default: none}}
`
	for _, c := range []struct{ name, want string }{
		{"X-User ad\"a X-Points 5 X-Factor 2", `ad"a 10 none`},
		{"X-User ada X-Points 5 X-Factor 2 X-Note hi", "ada 10 hi"},
		{"X-Points 5", "missing_user_identifier : The request has no header X-User."},
		{"X-User ada X-Factor 2", "missing_field : The request has no header X-Points."},
		{"X-User ada X-Points 5", "missing_field : The request has no header X-Factor."},
		{"X-User ada X-Points five X-Factor 2", "invalid_amount : The string of the header X-Points is not a number as JSON writes it, such as 12, -0.5 or 1.5e2."},
		{"X-User ada X-Points -5 X-Factor 2", "negative_amount : The value of the header X-Points, a string -5 times 2 of the header X-Factor, is negative, and the mapping is not signed."},
	} {
		plan, failure := evaluate(compile(t, definition), []byte(`{}`), headers(strings.Fields(c.name)...))
		got := ""
		if failure != nil {
			got = fmt.Sprintf("%s %s: %s", failure.Reason, failure.Path, failure.Detail)
		} else {
			got = fmt.Sprintf("%s %d %s", plan.User.Value, plan.Changes[0].Amount, plan.Fields[0].Value)
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSkippedSaysWhy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, when, body, path, detail string }{
		{"another text", "[{path: type, equals: order.paid}]", `{"type":"order.refunded"}`, "type", `A condition does not hold: type equals "order.paid", but it is a string "order.refunded".`},
		{"the second of two", "[{path: a, exists: true}, {path: b, not_equals: 5}]", `{"a":1,"b":5.0}`, "b", `A condition does not hold: b not_equals 5, but it is a number 5.0.`},
		{"absent", "[{path: a.b, at_least: 10}]", `{}`, "a.b", `A condition does not hold: a.b at_least 10, but it is absent.`},
		{"null", "[{path: a, exists: true}]", `{"a":null}`, "a", `A condition does not hold: a exists true, but it is null.`},
		{"an array", "[{path: a, contains: vip}]", `{"a":["vip"]}`, "a", `A condition does not hold: a contains "vip", but it is an array.`},
		{"a list", "[{path: a, in: [1, b, true, null, 2, 3, 4]}]", `{"a":false}`, "a", `A condition does not hold: a in [1, "b", true, null, 2, 2 more], but it is a boolean false.`},
		{"a header", "[{header: x-event, starts_with: order}]", `{}`, "", `A condition does not hold: the header X-Event starts_with "order", but it is a string "push".`},
		{"any", "[{any: [{path: a, equals: 1}, {path: b, less_than: 2}]}]", `{"b":3}`, "", `A condition does not hold: any of [a equals 1, but it is absent; b less_than 2, but it is a number 3].`},
		{"a long text", "[{path: a, equals: 1}]", `{"a":"` + strings.Repeat("é", 99) + `"}`, "a", `A condition does not hold: a equals 1, but it is a string "` + strings.Repeat("é", 40) + `…".`},
		{"a secret by its name", "[{path: x.verification_token, equals: hunter2}]", `{"x":{"verification_token":"hunter3"}}`, "x.verification_token", `A condition does not hold: x.verification_token equals "[redacted]", but it is a string "[redacted]".`},
		{"a secret by its form", "[{path: a, equals: b}]", `{"a":"sk_live_abcdefghijkl"}`, "a", `A condition does not hold: a equals "b", but it is a string "[redacted]".`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := compile(t, oneMapping("currency: coins, operator: add, value: {constant: 1}")+"\nwhen: "+c.when)
			plan, failure := evaluate(w, []byte(c.body), headers("X-Event", "push"))
			want := &applier.Skipped{Path: c.path, Detail: c.detail}
			if diff := cmp.Diff(want, plan.Why); diff != "" || failure != nil || !plan.Skip {
				t.Errorf("skip %v, failure %v, why (-want +got):\n%s", plan.Skip, failure, diff)
			}
		})
	}
}

// TestOfEncryptedPayloadsNothingIsQuoted: they are kept sealed, and outcomes are not.
func TestOfEncryptedPayloadsNothingIsQuoted(t *testing.T) {
	t.Parallel()
	w := compile(t, oneMapping("currency: coins, operator: add, value: {path: sku, lookup: {a: 1}}")+"\nencryption: gcm\nwhen: [{path: type, equals: paid}]")
	plan, _ := evaluate(w, []byte(`{"type":"private"}`), headers())
	if want := `A condition does not hold: type equals "paid", but it is a string.`; plan.Why == nil || plan.Why.Detail != want {
		t.Errorf("got %+v, want %s", plan.Why, want)
	}
	_, failure := evaluate(w, []byte(`{"type":"paid","user":"ada","sku":"private"}`), headers())
	if failure == nil || strings.Contains(failure.Detail, "private") {
		t.Errorf("got %v", failure)
	}
	for value, want := range map[string]string{
		`{path: v}`:                     "The value at v, a number, is negative, and the mapping is not signed.",
		`{path: w, times: {path: v}}`:   "The value at w, a string times the value at v, is negative, and the mapping is not signed.",
		`{path: w, times: {header: N}}`: "The value at w, a string times -3 of the header N, is negative, and the mapping is not signed.",
	} {
		w := compile(t, oneMapping("currency: coins, operator: add, value: "+value)+"\nencryption: gcm")
		_, failure := evaluate(w, []byte(`{"user":"ada","v":-7351,"w":"7351"}`), headers("N", "-3"))
		if failure == nil || failure.Detail != want {
			t.Errorf("got %v, want %s", failure, want)
		}
	}
}

// TestNoMappingThatHolds: a delivery that no mapping is for is skipped.
func TestNoMappingThatHolds(t *testing.T) {
	t.Parallel()
	const each = "\n  - {currency: coins, operator: add, each: lines, when: [{path: refunded, not_equals: true}], value: {path: n}}"
	const plain = "\n  - {currency: coins, operator: add, when: [{path: plan, equals: gold}], value: {constant: 3}}"
	const always = "\n  - {currency: coins, operator: add, value: {constant: 1}}"
	const head = "name: N\nstate: active\nuser: {by: username, path: user}\nmappings:"
	for _, c := range []struct{ name, mappings, body, want string }{
		{"one does not hold", plain, `{"plan":"silver"}`, `No mapping's conditions hold. The first that does not: plan equals "gold", but it is a string "silver".`},
		{"no line holds", each, `{"lines":[{"refunded":true,"n":1},{"refunded":true}]}`, `No mapping's conditions hold. The first that does not: lines[0].refunded not_equals true, but it is a boolean true.`},
		{"none of two", plain + each, `{"lines":[{"refunded":true}]}`, `No mapping's conditions hold. The first that does not: plan equals "gold", but it is absent.`},
		{"the other one holds", plain + each, `{"user":"ada","lines":[{"n":2}]}`, "[2]"},
		{"both hold", plain + each, `{"user":"ada","plan":"gold","lines":[{"n":2}]}`, "[3 2]"},
		{"one has no conditions", plain + always, `{"user":"ada"}`, "[1]"},
		{"an empty array", each, `{"user":"ada","lines":[]}`, "[]"},
		{"an empty array behind one that does not hold", plain + each, `{"user":"ada","lines":[]}`, "[]"},
		{"an empty array before one that does not hold", each + plain, `{"user":"ada","lines":[]}`, "[]"},
		{"no array", plain + each, `{"user":"ada"}`, "missing_field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			plan, failure := evaluate(compile(t, head+c.mappings), []byte(c.body), headers())
			amounts := []int64{}
			for _, change := range plan.Changes {
				amounts = append(amounts, change.Amount)
			}
			got := fmt.Sprint(amounts)
			switch {
			case failure != nil:
				got = string(failure.Reason)
			case plan.Skip:
				got = plan.Why.Detail
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestCompositeKeys(t *testing.T) {
	t.Parallel()
	key := func(definition, body string, pairs ...string) *applier.Key {
		plan, failure := evaluate(compile(t, definition), []byte(body), headers(pairs...))
		if failure != nil {
			t.Fatalf("%s: %v", body, failure)
		}
		return plan.Key
	}
	const one = "name: N\nstate: active\nuser: {by: username, path: user}\nmappings: [{currency: coins, operator: add, value: {constant: 1}}]\n"
	const pair = one + "idempotency: [{path: a}, {path: b}]"
	body := func(a, b string) string { return `{"user":"ada","a":` + a + `,"b":` + b + `}` }
	seen := map[[32]byte]string{}
	for _, b := range []string{body(`"a"`, `"bc"`), body(`"ab"`, `"c"`), body(`"a"`, `"b"`), body(`"b"`, `"a"`), body(`"\u0000a"`, `"b"`), body(`true`, `1`)} {
		k := key(pair, b)
		if other, ok := seen[k.Hash]; ok {
			t.Errorf("%s and %s have one key", b, other)
		}
		seen[k.Hash] = b
	}
	if key(pair, body(`1`, `"x"`)).Hash != key(pair, body(`"1"`, `"x"`)).Hash {
		t.Error("a number and its text have two keys, as a single key has not")
	}
	single := key(one+"idempotency: {path: a}", `{"user":"ada","a":"x"}`)
	if key(one+"idempotency: [{path: a}]", `{"user":"ada","a":"x"}`).Hash == single.Hash {
		t.Error("a list of one is the key of a single path: it should be told apart")
	}
	for places, want := range map[string]string{
		"[{path: a}, {header: X-Topic}]":            "the values at a, of the header X-Topic",
		"[{header: X-Topic}, {path: a}, {path: b}]": "the values of the header X-Topic, at a, at b",
	} {
		if mixed := key(one+"idempotency: "+places, body(`"x"`, `"y"`), "X-Topic", "paid"); mixed.Where != want {
			t.Errorf("the key is %q, want %q", mixed.Where, want)
		}
	}
	for b, want := range map[string]string{
		body(`"a"`, `null`): "missing_field b", body(`""`, `"b"`): "missing_field a", body(`"a"`, `{}`): "invalid_field_value b",
	} {
		_, failure := evaluate(compile(t, pair), []byte(b), headers())
		if failure == nil || string(failure.Reason)+" "+failure.Path != want {
			t.Errorf("%s: got %v, want %s", b, failure, want)
		}
	}
}
