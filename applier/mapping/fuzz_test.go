package mapping_test

import (
	"encoding/json"
	"math/big"
	"os"
	"testing"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// FuzzEvaluate looks for panics, for bodies accepted that encoding/json, which is
// laxer, refuses, and for answers that are neither a plan nor a failure.
func FuzzEvaluate(f *testing.F) {
	github, err := os.ReadFile("testdata/pull_request.closed.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(github)
	f.Add([]byte(shopPayload))
	for _, body := range badJSON() {
		if len(body) < 1000 {
			f.Add([]byte(body))
		}
	}
	w := compile(f, shopWebhook+"  - {currency: xp, operator: add, value: {path: 'order.items[-1].quantity'}}\n")
	f.Fuzz(func(t *testing.T, body []byte) { checkAnswerOf(t, w, body) })
}

// FuzzEach is FuzzEvaluate with lists, lookups, factors and comparisons.
func FuzzEach(f *testing.F) {
	f.Add([]byte(shopPayload))
	f.Add([]byte(order(`{"sku":"gems_500","quantity":2}`, `{"sku":77,"quantity":"3","refunded":true}`)))
	f.Add([]byte(order(`{"sku":77.0,"quantity":1e2,"parts":[1,2,[3]]}`, `{"sku":null}`, `[]`, `7`)))
	for _, body := range badJSON() {
		if len(body) < 1000 {
			f.Add([]byte(order(body)))
		}
	}
	w := compile(f, orderWebhook+`
  - {currency: grain, operator: subtract, each: "line_items[-1].parts", value: {path: $, default: 1, times: {path: "[-1]"}, min: -5, max: 1e20, round: half_even, signed: true}}
  - {currency: euro, operator: add, each: line_items, value: {path: "parts[0]", default: 0, round: up, min: 0}}
  - {currency: coins, operator: add, when: [{any: [{path: id, at_least: 10}, {path: email, contains: "@"}]}], value: {path: "line_items[0].quantity", default: 1, min: 0, max: 9, round: down}}
`)
	f.Fuzz(func(t *testing.T, body []byte) { checkAnswerOf(t, w, body) })
}

func checkAnswerOf(t *testing.T, w *webhook.Webhook, body []byte) {
	t.Helper()
	before := string(body)
	plan, failure := evaluate(w, body, headers("X-Topic", "paid"))
	if string(body) != before {
		t.Fatal("the body was changed")
	}
	if failure != nil {
		if len(plan.Changes) > 0 || plan.Skip || failure.Detail == "" || !utf8.ValidString(failure.Detail) {
			t.Fatalf("a failure %+v with a plan %+v", failure, plan)
		}
		return
	}
	if !json.Valid(body) || !utf8.Valid(body) {
		t.Fatalf("accepted what is not JSON: %q", body)
	}
	if !plan.Skip && plan.User.Value == "" {
		t.Fatalf("a plan without a user: %+v", plan)
	}
	if plan.Skip && (plan.Why == nil || !utf8.ValidString(plan.Why.Detail)) {
		t.Fatalf("skipped without a reason: %+v", plan)
	}
	if len(plan.Changes) > len(w.Mappings)*webhook.MaxElements {
		t.Fatalf("%d changes", len(plan.Changes))
	}
}

// FuzzAmount compares with rational numbers wherever these are affordable.
func FuzzAmount(f *testing.F) {
	f.Add("12.50", "10", uint8(0), false)
	f.Add("-1.5e2", "", uint8(7), true)
	f.Add("9223372036854775807", "1.0", uint8(2), false)
	f.Add("0.5", "-1e-3", uint8(11), true)
	codes := []string{"xp", "euro", "grain"}
	rounds := []webhook.Round{"", webhook.RoundDown, webhook.RoundUp, webhook.RoundHalfEven}
	f.Fuzz(func(t *testing.T, value, times string, choice uint8, signed bool) {
		text, err := json.Marshal(value)
		if err != nil || !utf8.ValidString(value) {
			t.Skip("JSON has no such string")
		}
		m := webhook.Mapping{
			Currency: codes[choice%3], Operator: webhook.Subtract,
			Value: webhook.Value{Path: "v", Times: times, Round: rounds[choice/3%4], Signed: signed},
		}
		def := webhook.Definition{Name: "N", Community: "c", State: webhook.Draft, Encryption: webhook.NoEncryption, Mappings: []webhook.Mapping{m}}
		if def.Validate() != nil {
			t.Skip("no admin can save it")
		}
		got, reason := evaluateOne(t, m, string(text))
		if !json.Valid([]byte(value)) || value[0] != '-' && (value[0] < '0' || value[0] > '9') || value[len(value)-1] <= ' ' {
			if reason != invalidAmount {
				t.Fatalf("%q is no number, got %d %q", value, got, reason)
			}
			return
		}
		if n, _ := webhook.ParseNumber(value); n.Exp > 1000 || n.Exp < -1000 {
			return
		}
		want, wantReason := wantAmount(value, times, scales[m.Currency], m.Value.Round, signed)
		if reason != wantReason || reason == "" && want.Cmp(big.NewInt(got)) != 0 {
			t.Fatalf("%q times %q: got %d %q, want %v %q", value, times, got, reason, want, wantReason)
		}
	})
}
