package mapping_test

import (
	stdcmp "cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// answer is what becomes of a request: it is skipped, it fails for a reason, or it
// changes something.
type answer struct {
	Skip    bool
	Reason  string
	HasKey  bool
	User    string
	Changes []applier.Change
	Fields  []applier.FieldChange
}

// place is what the paths of a part start at: the payload, or an element of an array.
type place struct {
	tree    any
	headers map[string]string
}

// at is the value of a path or header; null and absent are both not there.
func (p place) at(s webhook.Source) (value any, there bool) {
	if s.Header != "" {
		text, ok := p.headers[s.Header]
		return text, ok
	}
	path, err := webhook.ParsePath(s.Path)
	if err != nil {
		panic(err)
	}
	return lookUp(p.tree, path)
}

func isThere(value any, there bool) bool { return there && value != nil }

// wantAnswer reads a definition as the guide describes it, one part after the other.
func wantAnswer(def webhook.Definition, root place) answer {
	if !root.allHold(def.When) || !slices.ContainsFunc(def.Mappings, root.isFor) {
		return answer{Skip: true, HasKey: root.hasKey(def.Idempotency) == ""}
	}
	if reason := root.hasKey(def.Idempotency); reason != "" && def.Idempotency != nil {
		return answer{Reason: reason}
	}
	a := answer{HasKey: def.Idempotency != nil}
	user, there := root.at(webhook.Source{Path: def.User.Path, Header: def.User.Header})
	name, isText := user.(string)
	switch {
	case !isThere(user, there):
		a.Reason = "missing_user_identifier"
		return a
	case !isText || name == "":
		a.Reason = "invalid_user_identifier"
		return a
	}
	a.User = name
	for _, m := range def.Mappings {
		if reason := root.change(m, &a); reason != "" {
			return answer{Reason: reason, HasKey: a.HasKey}
		}
	}
	return a
}

// hasKey returns why there is no key.
func (p place) hasKey(key *webhook.Idempotency) string {
	if key == nil {
		return "none is named"
	}
	parts := key.Composite
	if parts == nil {
		parts = []webhook.Source{{Path: key.Path, Header: key.Header}}
	}
	for _, s := range parts {
		switch value, there := p.at(s); value.(type) {
		case map[string]any, []any:
			return "invalid_field_value"
		default:
			if !isThere(value, there) || value == "" {
				return "missing_field"
			}
		}
	}
	return ""
}

// isFor reports whether a delivery is not left out by a mapping's own conditions.
func (p place) isFor(m webhook.Mapping) bool {
	if len(m.When) == 0 {
		return true
	}
	if m.Each == "" {
		return p.allHold(m.When)
	}
	list, _ := p.at(webhook.Source{Path: m.Each})
	elements, isArray := list.([]any)
	return !isArray || len(elements) == 0 || slices.ContainsFunc(elements, func(e any) bool { return place{e, p.headers}.allHold(m.When) })
}

func (p place) change(m webhook.Mapping, a *answer) (reason string) {
	if m.Each == "" {
		return p.changeOne(m, a)
	}
	list, _ := p.at(webhook.Source{Path: m.Each})
	elements, isArray := list.([]any)
	if !isArray {
		return "missing_field"
	}
	for _, e := range elements {
		if reason := (place{e, p.headers}).changeOne(m, a); reason != "" {
			return reason
		}
	}
	return ""
}

func (p place) changeOne(m webhook.Mapping, a *answer) (reason string) {
	if !p.allHold(m.When) {
		return ""
	}
	if m.Field != "" {
		text, reason := p.fieldText(m)
		a.Fields = append(a.Fields, applier.FieldChange{Field: m.Field, Value: text, Revision: guild.Fields[m.Field].Revision})
		return reason
	}
	amount, reason := p.amount(m)
	if reason == "" && amount.Sign() != 0 {
		a.Changes = append(a.Changes, applier.Change{Currency: m.Currency, Operator: m.Operator, Amount: amount.Int64(), Scale: scales[m.Currency]})
	}
	return reason
}

// text is the value's text with the steps before any arithmetic. invalid is the reason
// of an object or array.
func (p place) text(v webhook.Value, invalid string) (text, reason string) {
	if v.Constant != nil {
		return *v.Constant, ""
	}
	value, there := p.at(webhook.Source{Path: v.Path, Header: v.Header})
	switch value.(type) {
	case map[string]any, []any:
		return "", invalid
	}
	src := jsonOf(value)
	found, ok := "", false
	if isThere(value, there) {
		if v.Lookup == nil {
			return unquoted(src), ""
		}
		found, ok = wantEntry(v.Lookup, src)
	}
	switch {
	case ok:
		return found, ""
	case v.Default != nil:
		return *v.Default, ""
	default:
		return "", "missing_field"
	}
}

func (p place) fieldText(m webhook.Mapping) (text, reason string) {
	const invalid = "invalid_field_value"
	if text, reason = p.text(m.Value, invalid); reason != "" {
		return "", reason
	}
	_, isNumber := webhook.ParseNumber(text)
	fits := map[applier.FieldType]bool{
		applier.Text: true, applier.Number: isNumber, applier.Boolean: text == "true" || text == "false",
		applier.Select: slices.Contains(guild.Fields["team"].Options, text),
	}[guild.Fields[m.Field].Type]
	if !fits {
		return "", invalid
	}
	return text, ""
}

func (p place) amount(m webhook.Mapping) (*big.Int, string) {
	v := m.Value
	text, reason := p.text(v, invalidAmount)
	if reason != "" {
		return nil, reason
	}
	if _, isNumber := webhook.ParseNumber(text); !isNumber {
		return nil, invalidAmount
	}
	// A boolean has a text, and is no number.
	amount := rat(text)
	if v.Times != "" {
		amount.Mul(amount, rat(v.Times))
	}
	if v.TimesBy != nil {
		factor, there := p.at(*v.TimesBy)
		if !isThere(factor, there) {
			return nil, "missing_field"
		}
		text, ok := numeric(jsonOf(factor))
		if !ok {
			return nil, invalidAmount
		}
		amount.Mul(amount, rat(text))
	}
	if v.Min != "" && amount.Cmp(rat(v.Min)) < 0 {
		amount = rat(v.Min)
	}
	if v.Max != "" && amount.Cmp(rat(v.Max)) > 0 {
		amount = rat(v.Max)
	}
	return wantUnits(amount, scales[m.Currency], v.Round, v.Signed)
}

func (p place) allHold(when []webhook.Condition) bool {
	return !slices.ContainsFunc(when, func(c webhook.Condition) bool { return !p.holds(c) })
}

func (p place) holds(c webhook.Condition) bool {
	if len(c.Any) > 0 {
		return slices.ContainsFunc(c.Any, p.holds)
	}
	value, there := p.at(webhook.Source{Path: c.Path, Header: c.Header})
	equals := func(want webhook.Scalar) bool {
		if c.Header != "" {
			return there && value == want.Text()
		}
		var is webhook.Scalar
		switch value.(type) {
		case map[string]any, []any:
			return false
		}
		return there && is.UnmarshalJSON([]byte(jsonOf(value))) == nil && is.Equal(want)
	}
	text, isText := value.(string)
	number, isNumber := numeric(jsonOf(value))
	order := 0
	if isNumber {
		order = rat(number).Cmp(rat(limitOf(c)))
	}
	switch {
	case !c.Equals.IsZero():
		return equals(c.Equals)
	case !c.NotEquals.IsZero():
		return !equals(c.NotEquals)
	case len(c.In) > 0:
		return slices.ContainsFunc(c.In, equals)
	case c.Exists != nil:
		return isThere(value, there) == *c.Exists
	case c.GreaterThan != "":
		return isNumber && order > 0
	case c.AtLeast != "":
		return isNumber && order >= 0
	case c.LessThan != "":
		return isNumber && order < 0
	case c.AtMost != "":
		return isNumber && order <= 0
	}
	return isText && strings.HasPrefix(text, c.StartsWith) && strings.HasSuffix(text, c.EndsWith) && strings.Contains(text, c.Contains)
}

// limitOf is that of a comparison, and any number of another test.
func limitOf(c webhook.Condition) string {
	return stdcmp.Or(c.GreaterThan, c.AtLeast, c.LessThan, c.AtMost, "0")
}

func jsonOf(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func unquoted(src string) string {
	var text string
	if json.Unmarshal([]byte(src), &text) == nil {
		return text
	}
	return src
}

// TestWholeDefinitionsAgreeWithTheGuide draws definitions with all parts and payloads
// that they may fit: parts that share paths and arrays must not disturb each other.
func TestWholeDefinitionsAgreeWithTheGuide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		def := drawDefinition(t)
		yaml, err := webhook.Format(def)
		if err != nil {
			t.Fatal(err)
		}
		read, err := webhook.Parse(yaml)
		if err != nil {
			t.Fatalf("%v in\n%s", err, yaml)
		}
		w, err := webhook.Compile(webhook.Record{Definition: read}, 1)
		if err != nil {
			t.Fatal(err)
		}
		body := drawPayload(t)
		root := place{headers: map[string]string{"X-A": "5", "X-B": "red", "X-Empty": ""}}
		decoder := json.NewDecoder(strings.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&root.tree); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		plan, failure := evaluate(w, []byte(body), func(name string) (string, bool) { text, ok := root.headers[name]; return text, ok })
		got := answer{Skip: plan.Skip, HasKey: plan.Key != nil, User: plan.User.Value, Fields: plan.Fields}
		if len(plan.Changes) > 0 {
			got.Changes = plan.Changes
		}
		if failure != nil {
			got = answer{Reason: string(failure.Reason), HasKey: plan.Key != nil}
		}
		if diff := cmp.Diff(wantAnswer(def, root), got); diff != "" {
			t.Fatalf("answer (-want +got):\n%s%s\n%s\n%v", diff, yaml, body, fmt.Sprint(failure))
		}
	})
}
