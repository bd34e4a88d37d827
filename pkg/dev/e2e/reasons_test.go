package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// failure is a delivery that must fail, and why.
type failure struct {
	name   string
	user   string // whose balance must stay
	body   string
	reason string
	detail []string // what the sentence must name
}

// failures of a webhook that adds the amount in coins to a user by username.
var failures = []failure{
	{"no_json_at_all", "", `not json`, "invalid_json", []string{"byte 1"}},
	{"only_blanks", "", " \n", "invalid_json", nil},
	{"half_an_object", "", `{"user":"ann"`, "invalid_json", nil},
	{"two_documents", "", `{"user":"ann","amount":1} {}`, "invalid_json", []string{"byte 26", "more data"}},
	{"a_name_twice", "", `{"user":"ann","amount":1,"amount":1}`, "invalid_json", []string{"twice"}},
	{"a_trailing_comma", "", `{"user":"ann","amount":1,}`, "invalid_json", nil},
	{"single_quotes", "", `{'user':'ann'}`, "invalid_json", nil},
	{"not_a_number", "", `{"user":"ann","amount":NaN}`, "invalid_json", nil},
	{"a_leading_zero", "", `{"user":"ann","amount":01}`, "invalid_json", nil},
	{"bytes_that_are_no_UTF-8", "", "{\"user\":\"ann\",\"amount\":1,\"note\":\"\xff\"}", "invalid_json", []string{"UTF-8"}},
	{"a_byte_order_mark", "", "\uFEFF" + `{"user":"ann","amount":1}`, "invalid_json", []string{"byte order mark"}},
	{"half_a_surrogate_pair", "", `{"user":"ann","amount":1,"note":"\ud800"}`, "invalid_json", nil},
	{"65_levels", "", `{"user":"ann","amount":1,"deep":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, "invalid_json", []string{"64"}},

	{"no_user", "", `{"amount":1}`, "missing_user_identifier", []string{"user"}},
	{"a_null_user", "", `{"user":null,"amount":1}`, "missing_user_identifier", []string{"user", "null"}},
	{"an_array_for_a_body", "", `[{"user":"ann","amount":1}]`, "missing_user_identifier", []string{"user"}},
	{"a_number_for_a_user", "", `{"user":5,"amount":1}`, "invalid_user_identifier", []string{"user", "a number"}},
	{"an_object_for_a_user", "", `{"user":{},"amount":1}`, "invalid_user_identifier", []string{"user", "an object"}},
	{"an_empty_user", "", `{"user":"","amount":1}`, "invalid_user_identifier", []string{"user", "empty"}},
	{"a_user_with_a_control_character", "", `{"user":"a\u0000b","amount":1}`, "invalid_user_identifier", []string{"user"}},
	{"somebody_unknown", "", `{"user":"nobody","amount":1}`, "user_not_found", []string{"user", "username"}},

	{"no_amount", "ann", `{"user":"ann"}`, "missing_field", []string{"amount"}},
	{"a_null_amount", "ann", `{"user":"ann","amount":null}`, "missing_field", []string{"amount", "null"}},
	{"a_word_for_an_amount", "ann", `{"user":"ann","amount":"ten"}`, "invalid_amount", []string{"amount", "string"}},
	{"an_empty_amount", "ann", `{"user":"ann","amount":""}`, "invalid_amount", []string{"amount"}},
	{"an_amount_with_a_blank", "ann", `{"user":"ann","amount":" 1"}`, "invalid_amount", []string{"amount"}},
	{"an_amount_with_a_plus", "ann", `{"user":"ann","amount":"+1"}`, "invalid_amount", []string{"amount"}},
	{"a_hexadecimal_amount", "ann", `{"user":"ann","amount":"0x10"}`, "invalid_amount", []string{"amount"}},
	{"an_amount_with_separators", "ann", `{"user":"ann","amount":"1,000"}`, "invalid_amount", []string{"amount"}},
	{"a_boolean_amount", "ann", `{"user":"ann","amount":true}`, "invalid_amount", []string{"amount", "a boolean"}},
	{"an_object_for_an_amount", "ann", `{"user":"ann","amount":{}}`, "invalid_amount", []string{"amount", "an object"}},
	{"a_tenth_of_a_coin", "ann", `{"user":"ann","amount":0.1}`, "invalid_amount", []string{"amount", "a number", "decimals", "0"}},
	{"the_smallest_fraction", "ann", `{"user":"ann","amount":1e-400}`, "invalid_amount", []string{"amount"}},
	{"less_than_nothing", "ann", `{"user":"ann","amount":-1}`, "negative_amount", []string{"amount", "a number", "-1"}},
	{"less_than_nothing_as_text", "ann", `{"user":"ann","amount":"-1"}`, "negative_amount", []string{"amount", "a string"}},
	{"one_above_64_bits", "ann", `{"user":"ann","amount":9223372036854775808}`, "amount_out_of_range", []string{"amount", "9223372036854775807"}},
	{"1e400", "ann", `{"user":"ann","amount":1e400}`, "amount_out_of_range", []string{"amount", "9223372036854775807"}},
	{"a_huge_exponent", "ann", `{"user":"ann","amount":"1e999999999999"}`, "amount_out_of_range", []string{"amount"}},
}

func TestADeliveryFailsWithItsReason(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	w.awaitRows(t, h.deliver(t, coinsBody("ann", "100")))
	ids := make([]string, len(failures))
	for i, test := range failures {
		ids[i] = h.deliver(t, test.body)
	}
	for i, test := range failures {
		t.Run(test.name, func(t *testing.T) { wantFailed(t, w.settled(t, ids[i]), test) })
	}
	w.wantBalances(t, "ann", "100", "0")
	if got := w.list(t, "--community", w.community, "--status", "failed", "--limit", "1000"); len(got) != len(failures) {
		t.Errorf("%d deliveries failed, want %d", len(got), len(failures))
	}
}

// wantFailed checks what `deliveries show` says of a failed delivery.
func wantFailed(t *testing.T, d deliveryJSON, want failure) {
	t.Helper()
	if d.Status != "failed" || d.Reason != want.reason {
		t.Errorf("%s %s%s (%s), want failed %s", d.Status, d.Outcome, d.Reason, d.Detail, want.reason)
	}
	if d.Detail == "" || !strings.HasSuffix(d.Detail, ".") {
		t.Errorf("the detail %q is no sentence", d.Detail)
	}
	for _, text := range want.detail {
		if !strings.Contains(d.Detail, text) {
			t.Errorf("the detail %q does not name %q", d.Detail, text)
		}
	}
	if d.payload() != want.body {
		t.Errorf("payload = %q, want what was sent, %q", d.payload(), want.body)
	}
	if d.Outcome != "" || len(d.Changes) != 0 || len(d.Fields) != 0 || d.FinishedAt == nil || d.Attempts < 1 {
		t.Errorf("delivery = %+v, want no outcome and no changes, but an end and an attempt", d)
	}
	if want.user != "" && d.User != nil && d.User.Username != want.user {
		t.Errorf("user = %+v, want %s or none", d.User, want.user)
	}
}

func (d deliveryJSON) payload() string {
	if d.Payload != nil {
		return *d.Payload
	}
	return string(d.PayloadB64)
}

func TestLimitsOfABalanceFailTheWholeDelivery(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann", "bob")
	add := w.hook(t, "add", "active", userLine+addCoins)
	take := w.hook(t, "take", "active", userLine+takeCoins)
	both := w.hook(t, "both", "active", userLine+`mappings:
  - {currency: xp, operator: add, value: {constant: "10"}}
  - {currency: coins, operator: subtract, value: {path: amount}}
  - {currency: xp, operator: add, value: {constant: "10"}}
`)
	const most = "9223372036854775807"
	if d := w.settled(t, add.deliver(t, coinsBody("ann", most))); d.Outcome != "applied" || d.Changes[0].Balance != most {
		t.Fatalf("delivery = %+v, want it applied", d)
	}
	again := coinsBody("ann", most)
	wantFailed(t, w.settled(t, add.deliver(t, again)), failure{
		user: "ann", body: again, reason: "balance_limit_exceeded", detail: []string{most, "coins"},
	})
	if d := w.settled(t, take.deliver(t, coinsBody("ann", most))); d.Outcome != "applied" || d.Changes[0].Balance != "0" {
		t.Errorf("delivery = %+v, want it applied down to 0", d)
	}
	w.awaitRows(t, add.deliver(t, coinsBody("bob", "5")))
	tooMuch := coinsBody("bob", "6")
	for _, h := range []*hook{take, both} {
		wantFailed(t, w.settled(t, h.deliver(t, tooMuch)), failure{
			user: "bob", body: tooMuch, reason: "insufficient_balance", detail: []string{"5", "6", "coins", "below 0"},
		})
	}
	w.wantBalances(t, "ann", "0", "0")
	w.wantBalances(t, "bob", "5", "0")
	if d := w.settled(t, both.deliver(t, coinsBody("bob", "5"))); len(d.Changes) != 3 || d.Changes[2].Balance != "20" {
		t.Errorf("delivery = %+v, want all three changes, in their order", d)
	}
	w.wantBalances(t, "bob", "0", "20")
}

func TestEmailsNameUsers(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", "user: {by: email, path: \"$.customer['e mail'][0]\"}\n"+addOne)
	body := func(email string) string { return fmt.Sprintf(`{"customer":{"e mail":[%s]}}`, email) }
	for _, test := range []failure{
		{name: "no_address", body: body(`"ann"`), reason: "invalid_user_identifier", detail: []string{"e mail", "@"}},
		{name: "nothing_there", body: body(``), reason: "missing_user_identifier", detail: []string{"e mail"}},
		{name: "somebody_unknown", body: body(`"bob@example.com"`), reason: "user_not_found", detail: []string{"e mail", "email"}},
	} {
		t.Run(test.name, func(t *testing.T) { wantFailed(t, w.settled(t, h.deliver(t, test.body)), test) })
	}
	if d := w.settled(t, h.deliver(t, body(`"ANN@Example.Com"`))); d.Outcome != "applied" || d.User == nil || d.User.Email != "ann@example.com" {
		t.Errorf("delivery = %+v, want it applied: emails are compared without case", d)
	}
	w.wantBalances(t, "ann", "1", "0")
}
