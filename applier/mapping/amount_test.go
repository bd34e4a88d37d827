package mapping_test

import (
	"fmt"
	"strings"
	"testing"
)

const (
	invalidAmount  = "invalid_amount"
	negativeAmount = "negative_amount"
	outOfRange     = "amount_out_of_range"
)

// checkAmount evaluates one mapping of the value v and wants an amount or, where
// reason is not empty, a failure.
func checkAmount(t *testing.T, members, v string, amount int64, reason string) {
	t.Helper()
	w := compile(t, oneMapping(members))
	plan, failure := evaluate(w, fmt.Appendf(nil, `{"user":"ada","v":%s}`, v), headers())
	if failure != nil {
		checkDetail(t, failure.Detail)
		if string(failure.Reason) != reason {
			t.Errorf("got %v, want %q", failure, reason)
		}
		return
	}
	got := int64(0)
	if len(plan.Changes) > 0 {
		got = plan.Changes[0].Amount
	}
	if reason != "" || got != amount {
		t.Errorf("got %d, want %d %q", got, amount, reason)
	}
}

func TestAmountForms(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", 9_999)
	for _, c := range []struct {
		name, v string
		amount  int64
		reason  string
	}{
		{"a number", `150`, 150, ""},
		{"a number with a zero fraction", `150.000`, 150, ""},
		{"a number with an exponent", `1.5e2`, 150, ""},
		{"a capital exponent with a plus", `1.5E+2`, 150, ""},
		{"a negative exponent that leaves no decimals", `1500e-1`, 150, ""},
		{"a string", `"150"`, 150, ""},
		{"a string with an exponent", `"1.5e2"`, 150, ""},
		{"a string with an escaped digit", `"15\u0030"`, 150, ""},
		{"zero", `0`, 0, ""},
		{"minus zero", `-0`, 0, ""},
		{"minus zero with decimals", `"-0.00"`, 0, ""},
		{"zero with a giant exponent", `0e999999999`, 0, ""},
		{"zero with a giant negative exponent", `0.0e-999999999999999999999`, 0, ""},
		{"one with ten thousand zeros behind the point", "1." + zeros, 1, ""},
		{"one behind as many places as its exponent makes up for", "0." + zeros + "1e10000", 1, ""},
		{"one followed by zeros that its exponent takes away", "1" + zeros + "e-9999", 1, ""},
		{"the largest amount", `9223372036854775807`, 9223372036854775807, ""},
		{"the largest amount, with an exponent", `922337203685477580.7e1`, 9223372036854775807, ""},
		{"one above the largest", `9223372036854775808`, 0, outOfRange},
		{"one above what 64 bits hold", `18446744073709551616`, 0, outOfRange},
		{"what 64 bits hold plus the largest", `27670116110564327423`, 0, outOfRange},
		{"twenty digits", `99999999999999999999`, 0, outOfRange},
		{"ten thousand digits", "1" + zeros, 0, outOfRange},
		{"1e19", `1e19`, 0, outOfRange},
		{"1e18", `1e18`, 1e18, ""},
		{"1e400", `1e400`, 0, outOfRange},
		{"1e999999999", `1e999999999`, 0, outOfRange},
		{"an exponent beyond 64 bits", `1e99999999999999999999`, 0, outOfRange},
		{"a decimal", `0.5`, 0, invalidAmount},
		{"1e-400", `1e-400`, 0, invalidAmount},
		{"1e-999999999", `1e-999999999`, 0, invalidAmount},
		{"an exponent below 64 bits", `1e-99999999999999999999`, 0, invalidAmount},
		{"a decimal in the ten thousandth place", "1." + zeros + "1", 0, invalidAmount},
		{"negative", `-1`, 0, negativeAmount},
		{"negative in a string", `"-1"`, 0, negativeAmount},
		{"negative and beyond the range", `-1e400`, 0, negativeAmount},
		{"negative with a decimal", `-1.5`, 0, invalidAmount},
		{"null", `null`, 0, "missing_field"},
		{"a boolean", `true`, 0, invalidAmount},
		{"an object", `{"v":1}`, 0, invalidAmount},
		{"an array", `[1]`, 0, invalidAmount},
		{"an empty string", `""`, 0, invalidAmount},
		{"a blank in front", `" 1"`, 0, invalidAmount},
		{"a blank behind", `"1 "`, 0, invalidAmount},
		{"a newline behind", `"1\n"`, 0, invalidAmount},
		{"a plus", `"+1"`, 0, invalidAmount},
		{"a leading zero", `"01"`, 0, invalidAmount},
		{"a minus and a leading zero", `"-01"`, 0, invalidAmount},
		{"no digit before the point", `".5"`, 0, invalidAmount},
		{"no digit behind the point", `"5."`, 0, invalidAmount},
		{"no digit in the exponent", `"5e"`, 0, invalidAmount},
		{"a sign alone in the exponent", `"5e+"`, 0, invalidAmount},
		{"a fraction in the exponent", `"5e1.0"`, 0, invalidAmount},
		{"a separator", `"1,000"`, 0, invalidAmount},
		{"an underscore", `"1_000"`, 0, invalidAmount},
		{"hexadecimal", `"0x10"`, 0, invalidAmount},
		{"infinity", `"Infinity"`, 0, invalidAmount},
		{"not a number", `"NaN"`, 0, invalidAmount},
		{"digits of another script", `"١"`, 0, invalidAmount},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			checkAmount(t, "currency: xp, operator: add, value: {path: v}", c.v, c.amount, c.reason)
		})
	}
}

func TestAmountOfScaleTimesAndRound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		currency, value, v string
		amount             int64
		reason             string
	}{
		{"euro", "path: v", `12.5`, 1250, ""},
		{"euro", "path: v", `"12.50"`, 1250, ""},
		{"euro", "path: v", `12.505`, 0, invalidAmount},
		{"euro", "path: v, round: half_even", `12.505`, 1250, ""},
		{"euro", "path: v, round: half_even", `12.515`, 1252, ""},
		{"euro", "path: v, round: half_even", `12.5050000000000000000000001`, 1251, ""},
		{"euro", "path: v", `92233720368547758.07`, 9223372036854775807, ""},
		{"euro", "path: v", `92233720368547758.08`, 0, outOfRange},
		{"euro", "path: v, round: down", `92233720368547758.079`, 9223372036854775807, ""},
		{"euro", "path: v, round: up", `92233720368547758.071`, 0, outOfRange},
		{"grain", "path: v", `0.000001`, 1, ""},
		{"grain", "path: v", `1e-7`, 0, invalidAmount},
		{"xp", "path: v, round: down", `1.999`, 1, ""},
		{"xp", "path: v, round: up", `1.001`, 2, ""},
		{"xp", "path: v, round: down, signed: true", `-1.999`, -1, ""},
		{"xp", "path: v, round: up, signed: true", `-1.001`, -2, ""},
		{"xp", "path: v, round: half_even, signed: true", `-2.5`, -2, ""},
		{"xp", "path: v, round: half_even, signed: true", `-3.5`, -4, ""},
		{"xp", "path: v, round: half_even", `0.5`, 0, ""},
		{"xp", "path: v, round: half_even", `0.51`, 1, ""},
		{"xp", "path: v, round: half_even", `0.05`, 0, ""},
		{"xp", "path: v, round: half_even", `0.09`, 0, ""},
		{"xp", "path: v, round: down", `1e-400`, 0, ""},
		{"xp", "path: v, round: half_even", `1e-400`, 0, ""},
		{"xp", "path: v, round: up", `1e-999999999`, 1, ""},
		{"xp", "path: v, round: up, signed: true", `-1e-999999999`, -1, ""},
		{"xp", "path: v, round: down", `-0.4`, 0, negativeAmount},
		{"xp", "path: v, signed: true", `-9223372036854775807`, -9223372036854775807, ""},
		{"xp", "path: v, signed: true", `-9223372036854775808`, 0, outOfRange},
		{"xp", "path: v, signed: true", `-1e400`, 0, outOfRange},
		{"xp", `path: v, times: "10"`, `12.3`, 123, ""},
		{"xp", `path: v, times: "0.1"`, `120`, 12, ""},
		{"xp", `path: v, times: 0.3`, `0.1`, 0, invalidAmount},
		{"xp", `path: v, times: -1`, `5`, 0, negativeAmount},
		{"xp", `path: v, times: -1`, `-5`, 5, ""},
		{"xp", `path: v, times: 0`, `1e999999999`, 0, ""},
		{"xp", `path: v, times: 1e20`, `1e-20`, 1, ""},
		{"xp", `path: v, times: 1e20`, `1e-999999999`, 0, invalidAmount},
		{"xp", `path: v, times: 3`, `3074457345618258602.333`, 0, invalidAmount},
		{"xp", `path: v, times: 7`, `1317624576693539401`, 9223372036854775807, ""},
		{"xp", `path: v, times: 123456789012345678901234567890`, `1e-29`, 0, invalidAmount},
		{"xp", `path: v, times: 123456789012345678901234567890, round: down`, `1e-29`, 1, ""},
		{"euro", `constant: 5`, `0`, 500, ""},
		{"euro", `constant: "12.50"`, `0`, 1250, ""},
		{"xp", `constant: 2.5`, `0`, 0, invalidAmount},
		{"xp", `constant: 2.5, round: half_even`, `0`, 2, ""},
		{"xp", `constant: -5`, `0`, 0, negativeAmount},
		{"xp", `constant: -5, signed: true`, `0`, -5, ""},
		{"xp", `constant: 5, times: 4`, `0`, 20, ""},
		{"xp", `constant: 1e400`, `0`, 0, outOfRange},
	} {
		t.Run(c.currency+" {"+c.value+"} of "+c.v, func(t *testing.T) {
			t.Parallel()
			members := fmt.Sprintf("currency: %s, operator: add, value: {%s}", c.currency, c.value)
			checkAmount(t, members, c.v, c.amount, c.reason)
		})
	}
}

func TestAmountDetails(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("7", 41)
	for _, c := range []struct{ members, body, reason, path, detail string }{
		{
			"currency: xp, operator: add, value: {path: $.order.total}", `{"user":"ada"}`,
			"missing_field", "$.order.total", "The payload has no value at $.order.total.",
		},
		{
			"currency: xp, operator: add, value: {path: order.total}", `{"user":"ada","order":{"total":null}}`,
			"missing_field", "order.total", "The value at order.total is null.",
		},
		{
			"currency: xp, operator: add, value: {path: order}", `{"user":"ada","order":{"total":null}}`,
			invalidAmount, "order", "The value at order is an object; an amount is a number, or a string that holds one.",
		},
		{
			"currency: xp, operator: add, value: {path: v}", `{"user":"ada","v":"secret"}`,
			invalidAmount, "v", "The string at v is not a number as JSON writes it, such as 12, -0.5 or 1.5e2.",
		},
		{
			"currency: euro, operator: add, value: {path: v, times: 10}", `{"user":"ada","v":"1.2345"}`, invalidAmount, "v",
			"The value at v, a string 1.2345 times 10, has more decimals than euro keeps, which is 2, and the mapping does not round.",
		},
		{
			"currency: xp, operator: add, value: {path: v, max: 5.5}", `{"user":"ada","v":7}`, invalidAmount, "v",
			"The value at v, a number 7, clamped to its max, has more decimals than xp keeps, which is 0, and the mapping does not round.",
		},
		{
			"currency: xp, operator: add, value: {path: v, times: 2, min: -5, max: -1}", `{"user":"ada","v":7}`, negativeAmount, "v",
			"The value at v, a number 7 times 2, clamped to its max, is negative, and the mapping is not signed.",
		},
		{
			"currency: xp, operator: add, value: {constant: 1, min: 1e19}", `{"user":"ada"}`, outOfRange, "",
			"The constant 1, clamped to its min, is beyond the limit of 9223372036854775807 in the smallest unit of xp.",
		},
		{
			"currency: xp, operator: add, value: {path: card}", `{"user":"ada","card":"4111111111111111.5"}`, invalidAmount, "card",
			"The value at card, a string [redacted], has more decimals than xp keeps, which is 0, and the mapping does not round.",
		},
		{
			"currency: xp, operator: add, value: {constant: -5}", `{"user":"ada"}`,
			negativeAmount, "", "The constant -5 is negative, and the mapping is not signed.",
		},
		{
			"currency: xp, operator: add, value: {path: v}", `{"user":"ada","v":` + long + `}`, outOfRange, "v",
			"The value at v, a number of 41 characters, is beyond the limit of 9223372036854775807 in the smallest unit of xp.",
		},
	} {
		t.Run(c.reason+" "+c.members, func(t *testing.T) {
			t.Parallel()
			failure := checkAnswer(t, oneMapping(c.members), c.body, c.reason, c.path)
			if failure.Detail != c.detail {
				t.Errorf("got  %s\nwant %s", failure.Detail, c.detail)
			}
		})
	}
}
