package e2e

import (
	"testing"
)

// addition is what one amount must do to a balance that starts at 0.
type addition struct {
	name   string
	value  string // the mapping's value, in YAML
	amount string // JSON
	coins  string // the balance after it; empty when the delivery must fail
	reason string
}

var additions = []addition{
	{"a_number", "{path: amount}", `150`, "150", ""},
	{"a_string", "{path: amount}", `"150"`, "150", ""},
	{"an_exponent", "{path: amount}", `1.5e2`, "150", ""},
	{"an_exponent_in_a_string", "{path: amount}", `"1.5E+2"`, "150", ""},
	{"decimals_that_are_zero", "{path: amount}", `150.000`, "150", ""},
	{"a_negative_exponent", "{path: amount}", `15000e-2`, "150", ""},
	{"the_most_there_is", "{path: amount}", `9223372036854775807`, "9223372036854775807", ""},
	{"beyond_what_a_float_holds", "{path: amount}", `9007199254740993`, "9007199254740993", ""},
	{"nothing", "{path: amount}", `0`, "0", ""},
	{"minus_nothing", "{path: amount}", `-0`, "0", ""},
	{"nothing_with_a_huge_exponent", "{path: amount}", `0e999999999`, "0", ""},

	{"times", `{path: amount, times: "10"}`, `15`, "150", ""},
	{"times_a_fraction_exactly", `{path: amount, times: "0.01"}`, `2500`, "25", ""},
	{"times_a_fraction_with_a_rest", `{path: amount, times: "0.01"}`, `2590`, "", "invalid_amount"},
	{"times_beyond_64_bits", `{path: amount, times: "10"}`, `922337203685477581`, "", "amount_out_of_range"},
	{"times_back_into_64_bits", `{path: amount, times: "0.1"}`, `92233720368547758070`, "9223372036854775807", ""},
	{"a_constant", `{constant: "42"}`, `null`, "42", ""},

	{"round_down", "{path: amount, round: down}", `2.99`, "2", ""},
	{"round_up", "{path: amount, round: up}", `2.01`, "3", ""},
	{"round_half_even_down", "{path: amount, round: half_even}", `2.5`, "2", ""},
	{"round_half_even_up", "{path: amount, round: half_even}", `3.5`, "4", ""},
	{"round_half_even_above_the_half", "{path: amount, round: half_even}", `2.5000000000000000000000000000001`, "3", ""},
	{"round_the_smallest_fraction_up", "{path: amount, round: up}", `1e-400`, "1", ""},
	{"round_up_beyond_64_bits", "{path: amount, round: up}", `9223372036854775807.1`, "", "amount_out_of_range"},
	{"round_does_not_hide_a_sign", "{path: amount, round: down}", `-0.1`, "", "negative_amount"},

	{"signed_below_the_minimum", "{path: amount, signed: true}", `-1`, "", "insufficient_balance"},
	{"signed_above", "{path: amount, signed: true}", `1`, "1", ""},
}

func TestAmountsAreExact(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t)
	hooks, ids, users := map[string]*hook{}, []string{}, []string{}
	for _, test := range additions {
		users = append(users, test.name)
	}
	w.addUsers(t, users...)
	for _, test := range additions {
		h := hooks[test.value]
		if h == nil {
			h = w.hook(t, `"add `+webhookName(len(hooks))+`"`, "active",
				userLine+"mappings:\n  - {currency: coins, operator: add, value: "+test.value+"}\n")
			hooks[test.value] = h
		}
		ids = append(ids, h.deliver(t, coinsBody(test.name, test.amount)))
	}
	for i, test := range additions {
		t.Run(test.name, func(t *testing.T) {
			d := w.settled(t, ids[i])
			if test.reason != "" {
				wantFailed(t, d, failure{user: test.name, body: coinsBody(test.name, test.amount), reason: test.reason})
				w.wantBalances(t, test.name, "0", "0")
				return
			}
			if d.Status != "success" || d.Outcome != "applied" || d.Reason != "" {
				t.Errorf("delivery = %+v, want it applied", d)
			}
			switch {
			case test.coins == "0" && len(d.Changes) != 0:
				t.Errorf("changes = %v: nothing changes, and so there is no change", d.Changes)
			case test.coins != "0" && (len(d.Changes) != 1 || d.Changes[0] != changeJSON{"coins", "add", test.coins, test.coins}):
				t.Errorf("changes = %v, want one of %s", d.Changes, test.coins)
			}
			w.wantBalances(t, test.name, test.coins, "0")
		})
	}
}

func webhookName(n int) string { return string(rune('a' + n)) }

func TestSignedAmountsGoBothWays(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	add := w.hook(t, "add", "active", userLine+"mappings:\n  - {currency: coins, operator: add, value: {path: amount, signed: true}}\n")
	take := w.hook(t, "take", "active", userLine+"mappings:\n  - {currency: coins, operator: subtract, value: {path: amount, signed: true}}\n")
	for _, step := range []struct {
		h               *hook
		amount, balance string
	}{{add, "10", "10"}, {add, "-4", "6"}, {take, "-3", "9"}, {take, "9", "0"}} {
		d := w.settled(t, step.h.deliver(t, coinsBody("ann", step.amount)))
		if len(d.Changes) != 1 || d.Changes[0].Amount != step.amount || d.Changes[0].Balance != step.balance {
			t.Errorf("%s %s: changes = %v, want a balance of %s", step.h.Name, step.amount, d.Changes, step.balance)
		}
	}
}

func TestConditionsSkipADelivery(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+`when:
  - {path: type, equals: order.paid}
  - {header: X-Kind, in: [a, b]}
  - {path: test, exists: false}
  - {path: plan, not_equals: free}
`+addOne)
	applied := 0
	for _, test := range []struct {
		name, body, kind string
		want             string
	}{
		{"all_hold", `{"user":"ann","type":"order.paid","plan":"pro"}`, "a", "applied"},
		{"not_equals_holds_for_what_is_absent", `{"user":"ann","type":"order.paid"}`, "b", "applied"},
		{"another_type", `{"user":"ann","type":"order.made"}`, "a", "skipped"},
		{"no_type", `{"user":"ann"}`, "a", "skipped"},
		{"another_header", `{"user":"ann","type":"order.paid"}`, "c", "skipped"},
		{"no_header", `{"user":"ann","type":"order.paid"}`, "", "skipped"},
		{"a_test", `{"user":"ann","type":"order.paid","test":true}`, "a", "skipped"},
		{"a_free_plan", `{"user":"ann","type":"order.paid","plan":"free"}`, "a", "skipped"},
		{"skipped_before_the_user_is_looked_at", `{"type":"order.made"}`, "a", "skipped"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := w.settled(t, h.deliver(t, test.body, "X-Kind", test.kind))
			if d.Status != "success" || d.Outcome != test.want {
				t.Errorf("%s %s (%s), want success %s", d.Status, d.Outcome, d.Detail, test.want)
			}
			if test.want == "applied" {
				applied++
			} else if len(d.Changes) != 0 {
				t.Errorf("a skipped delivery has the changes %v", d.Changes)
			}
		})
	}
	if got := w.list(t, "--community", w.community, "--status", "failed"); len(got) != 0 {
		t.Errorf("failed: %+v", got)
	}
	if applied != 2 {
		t.Fatalf("%d applied", applied)
	}
	w.wantBalances(t, "ann", "2", "0")
}
