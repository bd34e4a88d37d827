package mapping_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// line is an element of an array, each member as its JSON; what is empty is absent.
type line struct{ sku, quantity, refunded string }

func (l line) json() string {
	var members []string
	for _, m := range [][2]string{{"sku", l.sku}, {"quantity", l.quantity}, {"refunded", l.refunded}} {
		if m[1] != "" {
			members = append(members, fmt.Sprintf("%q:%s", m[0], m[1]))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

func drawLine(t *rapid.T) line {
	return line{
		sku: rapid.OneOf(
			rapid.SampledFrom([]string{`"gems"`, `"gems"`, `"12"`, `12`, `12.0`, `1.2e1`, `"12.0"`, `true`, `"true"`, `""`, `null`, ``, `[]`, `-7`}),
			rapid.Custom(func(t *rapid.T) string { return drawNumber(t, "sku", 20, 20) }),
		).Draw(t, "sku"),
		quantity: rapid.OneOf(
			rapid.SampledFrom([]string{`1`, `2`, `"3"`, `0`, `-1`, `0.5`, `"x"`, `null`, ``, `{}`, `1` + strings.Repeat("1", 40)}),
			rapid.Custom(func(t *rapid.T) string { return drawNumber(t, "quantity", 18, 20) }),
		).Draw(t, "quantity"),
		refunded: rapid.SampledFrom([]string{``, ``, `true`, `false`, `null`}).Draw(t, "refunded"),
	}
}

func drawEach(t *rapid.T) webhook.Mapping {
	number := func(name string) string { return drawNumber(t, name, 15, 18) }
	m := webhook.Mapping{
		Currency: rapid.SampledFrom([]string{"xp", "euro", "grain"}).Draw(t, "currency"),
		Operator: rapid.SampledFrom([]webhook.Operator{webhook.Add, webhook.Subtract}).Draw(t, "operator"),
		Each:     "order.lines",
		Value: webhook.Value{
			Path:   "sku",
			Round:  rapid.SampledFrom([]webhook.Round{"", webhook.RoundDown, webhook.RoundUp, webhook.RoundHalfEven}).Draw(t, "round"),
			Signed: rapid.Bool().Draw(t, "signed"),
		},
	}
	if rapid.Bool().Draw(t, "leaves refunded lines out") {
		m.When = []webhook.Condition{{Path: "refunded", NotEquals: webhook.Bool(true)}}
	}
	if rapid.Bool().Draw(t, "looks up") {
		keys := rapid.SampledFrom([]string{"gems", "12", "12.0", "true", "", "-7", "0"})
		m.Value.Lookup = rapid.MapOfN(keys, rapid.Custom(func(*rapid.T) string { return number("found") }), 1, 5).Draw(t, "lookup")
	}
	if rapid.Bool().Draw(t, "has a default") {
		m.Value.Default = new(number("default"))
	}
	switch rapid.IntRange(0, 2).Draw(t, "multiplies") {
	case 1:
		m.Value.Times = number("times")
	case 2:
		m.Value.TimesBy = &webhook.Source{Path: "quantity"}
	}
	if rapid.Bool().Draw(t, "has a min") {
		m.Value.Min = number("min")
	}
	if rapid.Bool().Draw(t, "has a max") {
		m.Value.Max = number("max")
		if m.Value.Min != "" && rat(m.Value.Min).Cmp(rat(m.Value.Max)) > 0 {
			m.Value.Min, m.Value.Max = m.Value.Max, m.Value.Min
		}
	}
	return m
}

func rat(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("no number: " + text)
	}
	return r
}

// numeric reads a number, or a text that is one, from JSON.
func numeric(src string) (string, bool) {
	text := src
	if strings.HasPrefix(src, `"`) {
		if json.Unmarshal([]byte(src), &text) != nil {
			return "", false
		}
	}
	_, ok := webhook.ParseNumber(text)
	return text, ok
}

// wantEntry is the rule of a lookup, by a walk over its entries.
func wantEntry(lookup map[string]string, src string) (string, bool) {
	var text string
	if json.Unmarshal([]byte(src), &text) != nil {
		text = src
	}
	if found, ok := lookup[text]; ok || strings.HasPrefix(src, `"`) {
		return found, ok
	}
	for _, key := range slices.Sorted(maps.Keys(lookup)) {
		if _, isNumber := webhook.ParseNumber(key); isNumber && src != "true" && src != "false" && rat(key).Cmp(rat(src)) == 0 {
			return lookup[key], true
		}
	}
	return "", false
}

// wantLine is what one element makes: an amount, or a reason.
func wantLine(m webhook.Mapping, l line) (*big.Int, string) {
	if len(m.When) > 0 && l.refunded == "true" {
		return new(big.Int), ""
	}
	value, reason := wantValue(m.Value, l.sku)
	if reason != "" {
		return nil, reason
	}
	amount := rat(value)
	if m.Value.Times != "" {
		amount.Mul(amount, rat(m.Value.Times))
	}
	if m.Value.TimesBy != nil {
		if l.quantity == "" || l.quantity == "null" {
			return nil, "missing_field"
		}
		factor, ok := numeric(l.quantity)
		if !ok || strings.HasPrefix(factor, "11111111") {
			return nil, invalidAmount
		}
		amount.Mul(amount, rat(factor))
	}
	if low := m.Value.Min; low != "" && amount.Cmp(rat(low)) < 0 {
		amount = rat(low)
	}
	if high := m.Value.Max; high != "" && amount.Cmp(rat(high)) > 0 {
		amount = rat(high)
	}
	return wantUnits(amount, scales[m.Currency], m.Value.Round, m.Value.Signed)
}

func wantValue(v webhook.Value, src string) (text, reason string) {
	switch {
	case (src == "" || src == "null") && v.Default != nil:
		return *v.Default, ""
	case src == "" || src == "null":
		return "", "missing_field"
	case v.Lookup == nil:
		text, ok := numeric(src)
		if !ok {
			return "", invalidAmount
		}
		return text, ""
	case src == "[]":
		return "", invalidAmount
	}
	found, ok := wantEntry(v.Lookup, src)
	switch {
	case ok:
		return found, ""
	case v.Default != nil:
		return *v.Default, ""
	default:
		return "", "missing_field"
	}
}

// TestEachAgreesWithRationalNumbers: lookups, defaults, factors and clamps of every
// element, in order, up to the first that fails.
func TestEachAgreesWithRationalNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawEach(t)
		lines := rapid.SliceOfN(rapid.Custom(drawLine), 0, 6).Draw(t, "lines")
		var want []applier.Change
		wantReason := ""
		for _, l := range lines {
			units, reason := wantLine(m, l)
			if reason != "" {
				want, wantReason = nil, reason
				break
			}
			if units.Sign() != 0 {
				want = append(want, applier.Change{Currency: m.Currency, Operator: m.Operator, Amount: units.Int64(), Scale: scales[m.Currency]})
			}
		}
		got, skipped, reason := evaluateLines(t, m, lines)
		if wantSkip := len(lines) > 0 && everyLineIsRefunded(m, lines); skipped != wantSkip {
			t.Fatalf("skipped %v, want %v", skipped, wantSkip)
		}
		if diff := cmp.Diff(want, got); reason != wantReason || diff != "" {
			t.Fatalf("reason %q, want %q; changes (-want +got):\n%s", reason, wantReason, diff)
		}
	})
}

func everyLineIsRefunded(m webhook.Mapping, lines []line) bool {
	return len(m.When) > 0 && !slices.ContainsFunc(lines, func(l line) bool { return l.refunded != "true" })
}

func evaluateLines(t *rapid.T, m webhook.Mapping, lines []line) (changes []applier.Change, skipped bool, reason string) {
	all := make([]string, len(lines))
	for i, l := range lines {
		all[i] = l.json()
	}
	w, err := webhook.Compile(webhook.Record{Definition: webhook.Definition{
		User:     &webhook.UserRef{By: webhook.ByUsername, Path: "user"},
		Mappings: []webhook.Mapping{m},
	}}, 1)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	body := `{"user":"ada","order":{"lines":[` + strings.Join(all, ", ") + `]}}`
	plan, failure := evaluate(w, []byte(body), headers())
	if failure != nil {
		return nil, false, string(failure.Reason)
	}
	if len(plan.Changes) > 0 {
		changes = plan.Changes
	}
	return changes, plan.Skip, ""
}

// TestComparisonsAgreeWithRationalNumbers: exact, however long the numbers are.
func TestComparisonsAgreeWithRationalNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number, limit := drawNumber(t, "number", 20, 20), drawNumber(t, "limit", 18, 18)
		if rapid.Bool().Draw(t, "are near") {
			number = limit + rapid.SampledFrom([]string{"", "", "e1", "e-1"}).Draw(t, "power")
			if _, ok := webhook.ParseNumber(number); !ok {
				number = limit
			}
		}
		order := rat(number).Cmp(rat(limit))
		if rapid.Bool().Draw(t, "is text") {
			number = `"` + number + `"`
		}
		for want, c := range map[bool][]webhook.Condition{
			order > 0:  {{Path: "v", GreaterThan: limit}},
			order <= 0: {{Path: "v", AtMost: limit}},
		} {
			checkHolds(t, want, c[0], number)
		}
		for want, c := range map[bool][]webhook.Condition{
			order >= 0: {{Path: "v", AtLeast: limit}},
			order < 0:  {{Path: "v", LessThan: limit}},
		} {
			checkHolds(t, want, c[0], number)
		}
	})
}

func checkHolds(t *rapid.T, want bool, c webhook.Condition, number string) {
	w, err := webhook.Compile(webhook.Record{Definition: webhook.Definition{
		User: &webhook.UserRef{By: webhook.ByUsername, Path: "nobody"}, When: []webhook.Condition{c},
		Mappings: []webhook.Mapping{{Currency: "xp", Operator: webhook.Add, Value: webhook.Value{Path: "$"}}},
	}}, 1)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	plan, _ := evaluate(w, []byte(`{"v":`+number+`}`), headers())
	if plan.Skip == want {
		t.Fatalf("%s with %+v: holds %v, want %v", number, c, !plan.Skip, want)
	}
}
