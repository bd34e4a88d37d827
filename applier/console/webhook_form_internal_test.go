package console

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// A definition that went through the page's fields, and was posted by a browser,
// is the same.
func TestAFormKeepsADefinition(t *testing.T) {
	t.Parallel()
	valid := 0
	for seed := range uint64(4000) {
		def := anyDefinition(rand.New(rand.NewPCG(seed, 0)))
		if def.Validate() != nil {
			continue
		}
		valid++
		got, problems := readWebhookForm(formOf(def).values()).definition(webhook.Definition{
			Name: def.Name, Community: def.Community, State: def.State, Receive: def.Receive,
			Auth: webhook.Auth{APIKey: !def.Auth.APIKey, Signature: def.Auth.Signature, Basic: def.Auth.Basic, Allow: def.Auth.Allow},
		})
		if problems != nil || !reflect.DeepEqual(got, def) {
			t.Fatalf("seed %d: %v\n%s", seed, problems, cmp.Diff(def, got, cmp.AllowUnexported(webhook.Scalar{})))
		}
	}
	if valid < 1000 {
		t.Errorf("%d definitions were valid: that is too few to say anything", valid)
	}
}

// values are what a browser would post of the form.
func (f webhookForm) values() url.Values {
	v := url.Values{
		"protection": {"1"}, "encryption": {f.Encryption}, "user_by": {f.UserBy}, "user_kind": {f.UserKind}, "user_from": {f.UserFrom}, "user_path": {f.UserPath}, "retry": {f.Retry}, "retry_name": {f.RetryName},
		"late_age": {f.LateAge}, "late_deliveries": {f.LateDeliveries},
	}
	check := func(name string, on bool) {
		if on {
			v.Set(name, "on")
		}
	}
	check("api_key", f.APIKey)
	check("late", f.Late)
	for i, m := range f.Mappings {
		key := "mappings." + strconv.Itoa(i) + "."
		if m.YAML != "" {
			v.Set(key+"yaml", textArea(m.YAML))
			continue
		}
		m.addTo(v, key)
	}
	for i, part := range f.RetryParts {
		v.Set(fmt.Sprintf("retry.%d.from", i), part.From)
		v.Set(fmt.Sprintf("retry.%d.name", i), line(part.Name))
	}
	addConditions(v, "when.", f.Conditions)
	return v
}

func (f mappingForm) addTo(v url.Values, key string) {
	for name, value := range map[string]string{
		"target": f.Target, "operator": f.Operator, "source": f.Source, "value": f.posted(), "exact": f.Exact(), "round": f.Round, "times_from": f.TimesFrom,
		"times": line(f.Times), "each": line(f.Each), "default": line(f.Default), "min": line(f.Min), "max": line(f.Max),
	} {
		v.Set(key+name, value)
	}
	for name, on := range map[string]bool{"signed": f.Signed, "list": f.List} {
		if on {
			v.Set(key+name, "on")
		}
	}
	for i, row := range f.Lookup {
		v.Set(fmt.Sprintf("%slookup.%d.key", key, i), line(row.Key))
		v.Set(fmt.Sprintf("%slookup.%d.value", key, i), line(row.Value))
	}
	addConditions(v, key+"when.", f.When)
}

func addConditions(v url.Values, prefix string, all []conditionForm) {
	for i, c := range all {
		key := prefix + strconv.Itoa(i) + "."
		if c.YAML != "" {
			v.Set(key+"yaml", textArea(c.YAML))
			continue
		}
		if c.Several {
			v.Set(key+"any", "1")
			addConditions(v, key+"any.", c.Any)
			continue
		}
		for name, value := range map[string]string{"on": c.On, "name": line(c.Name), "test": c.Test, "value": textArea(c.Value)} {
			v.Set(key+name, value)
		}
	}
}

// line is what a browser sends of a small field.
func line(text string) string { return strings.ReplaceAll(asBrowsersHave(text), "\n", "") }

// posted is what a browser sends of the field that has the value.
func (f mappingForm) posted() string {
	if f.MultiLine() {
		return textArea(f.Value)
	}
	return line(f.Value)
}

// textArea is what a browser sends of a large field.
func textArea(text string) string { return strings.ReplaceAll(asBrowsersHave(text), "\n", "\r\n") }

func anyDefinition(r *rand.Rand) webhook.Definition {
	def := webhook.Definition{Name: "Shop", Community: "default", State: webhook.Draft, Encryption: pick(r, webhook.NoEncryption, webhook.CBC, webhook.GCM)}
	def.Auth = pick(r, webhook.Auth{}, webhook.Auth{
		Signature: &webhook.Signature{Preset: "github"}, Basic: &webhook.Basic{Username: "shop"}, Allow: []string{"203.0.113.0/24"},
	})
	def.Auth.APIKey = r.IntN(2) == 0
	if r.IntN(4) == 0 {
		def.Receive = &webhook.Receive{Payload: webhook.PayloadForm, Rate: "50/s"}
	}
	path := func() string {
		return pick(r, "$", "a.b[0]", "$['odd key']", "items[-1].x", "user", "coins\u00a0", "$['\\u0000']", "\u3000.x")
	}
	if r.IntN(2) == 0 {
		def.User = &webhook.UserRef{By: pick(r, webhook.ByEmail, webhook.ByUsername), Path: path()}
		if r.IntN(3) == 0 {
			def.User.By, def.User.Kind = webhook.ByExternal, "steam"
		} else if r.IntN(3) == 0 {
			def.User.By = webhook.ByID
		}
		if r.IntN(3) == 0 {
			def.User.Path, def.User.Header = "", "X-User"
		}
	}
	if r.IntN(2) == 0 {
		several := []webhook.Source{{Path: path()}, {Header: "X-Topic"}, {Path: path()}, {Header: "X-Shop"}}[:1+r.IntN(4)]
		def.Idempotency = pick(r, &webhook.Idempotency{Composite: several}, &webhook.Idempotency{Header: "X-Event-Id"}, &webhook.Idempotency{Path: path()}, &webhook.Idempotency{Body: true})
	}
	if r.IntN(2) == 0 {
		def.LateUsers = &webhook.LateUsers{MaxAge: pick(r, "7d", "90m"), MaxDeliveries: 1 + r.IntN(1000)}
	}
	for range r.IntN(4) {
		def.When = append(def.When, anyCondition(r, path()))
	}
	if r.IntN(3) == 0 {
		def.When = slices.Insert(def.When, r.IntN(len(def.When)+1), alternatives(r, path))
	}
	for range r.IntN(4) {
		def.Mappings = append(def.Mappings, anyMapping(r, path()))
	}
	if r.IntN(2) == 0 {
		def.Mappings = append(def.Mappings, anyOpenMapping(r, path))
	}
	return def
}

func anyOpenMapping(r *rand.Rand, path func() string) webhook.Mapping {
	m := webhook.Mapping{Currency: "coins", Operator: webhook.Add, Value: webhook.Value{Path: path()}}
	if r.IntN(2) == 0 {
		m.Each = path()
	}
	for range r.IntN(3) {
		m.When = append(m.When, anyCondition(r, path()))
	}
	if r.IntN(4) == 0 {
		m.When = slices.Insert(m.When, r.IntN(len(m.When)+1), alternatives(r, path))
	}
	switch r.IntN(4) {
	case 0:
		m.Value.Lookup = map[string]string{pick(r, "gems", "12", "true", "", "a: b", "é\"\r\n", "\x00", " blank"): "500", "b": "-1.5"}
	case 1:
		m.Value.Path, m.Value.Header = "", "X-Sku"
	case 2:
		m.Value.Lookup = map[string]string{}
		for i := range 1 + r.IntN(lookupShown+50) {
			m.Value.Lookup["sku_"+strconv.Itoa(i)] = strconv.Itoa(i)
		}
	}
	if r.IntN(2) == 0 {
		m.Value.Default = new(pick(r, "0", "-1.50"))
	}
	m.Value.TimesBy = pick(r, nil, &webhook.Source{Path: path()}, &webhook.Source{Header: "X-Count"})
	m.Value.Min, m.Value.Max = pick(r, "", "-5"), pick(r, "", "5000")
	if r.IntN(4) == 0 { // of a custom field
		v := m.Value
		m = webhook.Mapping{Field: "level", When: m.When, Value: webhook.Value{Path: v.Path, Header: v.Header, Lookup: v.Lookup, Default: v.Default}}
		if v.Default != nil {
			m.Value.Default = new(pick(r, "", "none", " ", "two\nlines"))
		}
	}
	return m
}

// The YAML box is for what fields cannot hold, and for nothing else.
func TestFieldsHoldAllButOddTexts(t *testing.T) {
	t.Parallel()
	usual := webhook.Mapping{
		Currency: "coins", Operator: webhook.Add, Each: "line_items", When: []webhook.Condition{{Path: "refunded", NotEquals: webhook.Bool(true)}},
		Value: webhook.Value{
			Path: "sku", Lookup: map[string]string{"gems_500": "500", "": "1"}, Default: new("0"), TimesBy: &webhook.Source{Path: "quantity"},
			Min: "0", Max: "5000", Round: webhook.RoundDown, Signed: true,
		},
	}
	if f := mappingFormOf(usual); f.YAML != "" || !f.List || len(f.Lookup) != 2 || len(f.When) != 1 || f.TimesFrom != fromPath {
		t.Errorf("the fields of a list are %+v", f)
	}
	header := webhook.Mapping{Field: "level", Value: webhook.Value{Header: "X-Plan", Lookup: map[string]string{"gold": "9"}}}
	if f := mappingFormOf(header); f.YAML != "" || f.Source != retryHeader {
		t.Errorf("the fields of a header are %+v", f)
	}
	alternatives := webhook.Condition{Any: []webhook.Condition{{Path: "plan", In: []webhook.Scalar{webhook.String("gold"), webhook.Null()}}, {Header: "X-Event", Contains: "a"}}}
	if f := conditionFormOf(alternatives); f.YAML != "" || !f.Several || len(f.Any) != 2 || f.Any[1].On != retryHeader {
		t.Errorf("the fields of alternatives are %+v", f)
	}
	alternatives.Any[1].Contains = "\x00"
	if f := conditionFormOf(alternatives); f.YAML == "" {
		t.Errorf("an alternative with a text that no browser brings back is in fields: %+v", f)
	}
	odd := usual
	odd.Value.Lookup = map[string]string{"two\nlines": "5"}
	if f := mappingFormOf(odd); f.YAML == "" {
		t.Errorf("a text of two lines is in a field of one: %+v", f)
	}
}

func anyCondition(r *rand.Rand, path string) webhook.Condition {
	c := webhook.Condition{Path: path}
	if r.IntN(3) == 0 {
		c = webhook.Condition{Header: "X-Event"}
	}
	switch r.IntN(6) {
	case 4:
		*pick(r, &c.GreaterThan, &c.AtLeast, &c.LessThan, &c.AtMost) = pick(r, "1", "-0.50", "1e3")
	case 5:
		*pick(r, &c.StartsWith, &c.EndsWith, &c.Contains) = pick(r, "order.", "5", " x", `"`, "a\nb")
	case 0:
		c.Equals = anyScalar(r)
	case 1:
		c.NotEquals = anyScalar(r)
	case 2:
		for range 1 + r.IntN(3) {
			c.In = append(c.In, anyScalar(r))
		}
	default:
		c.Exists = new(bool)
		*c.Exists = r.IntN(2) == 0
	}
	return c
}

func alternatives(r *rand.Rand, path func() string) (c webhook.Condition) {
	for range 1 + r.IntN(4) {
		c.Any = append(c.Any, anyCondition(r, path()))
	}
	return c
}

func anyMapping(r *rand.Rand, path string) webhook.Mapping {
	m := webhook.Mapping{Currency: pick(r, "xp", "coins", "gems"), Operator: pick(r, webhook.Add, webhook.Subtract), Value: webhook.Value{Path: path}}
	constant := pick(r, "1", "-0.50", "1e3")
	if r.IntN(2) == 0 {
		m = webhook.Mapping{Field: pick(r, "level", "odd:name", "two"), Value: webhook.Value{Path: path}}
		constant = pick(r, "", " blank ", "two\nlines", "12", "win\r\nmac\rlines", "\r", "a\x00b", "\x00\r\n", "\u00a0\u0085", "\n\nx")
	} else {
		m.Value.Times, m.Value.Round, m.Value.Signed = pick(r, "", "0.1", "1.0"), pick(r, "", webhook.RoundDown, webhook.RoundHalfEven), r.IntN(2) == 0
	}
	if r.IntN(2) == 0 {
		m.Value.Path, m.Value.Constant = "", &constant
	}
	return m
}

func anyScalar(r *rand.Rand) webhook.Scalar {
	number, _ := webhook.NumberText(pick(r, "1", "1.0", "1e0", "-0"))
	text := pick(r, "paid", "", " paid", "5", "true", "null", `"quoted"`, "two\nlines", "{", "[1]", "é<&>\u2028", `a"b`, "[1", "\x00", "a\r\nb", "\u00a0x\u3000", "\u0085", "\x7f", "\v")
	return pick(r, webhook.Null(), webhook.Bool(true), number, webhook.String(text), webhook.String(text))
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func TestRowsOfAForm(t *testing.T) {
	t.Parallel()
	f := webhookForm{Mappings: []mappingForm{{Value: "a"}, {Value: "b"}}}
	for _, do := range []string{
		"up-mapping.1", "add-mapping", "remove-mapping.1", "add-condition",
		"add-lookup.0", "add-lookup.0", "remove-lookup.0.1", "add-when.1", "add-when.1", "remove-when.1.0",
		"add-any-condition", "add-one-condition.1", "remove-one-condition.1.2", "remove-one-condition.1.0",
		"add-any-when.1", "add-one-when.1.1", "remove-one-when.1.1.0", "remove-one-when.1.1.0", "remove-one-when.1.1.0",
		"add-key", "add-key", "remove-key.0",
	} {
		if !f.edit(do) {
			t.Errorf("%s was refused", do)
		}
	}
	if len(f.Mappings) != 2 || f.Mappings[0].Value != "b" || f.Mappings[1].Target != "" || len(f.Conditions) != 2 ||
		len(f.Conditions[1].Any) != 1 || len(f.RetryParts) != 1 || len(f.Mappings[0].Lookup) != 1 || len(f.Mappings[1].When) != 1 {
		t.Errorf("got %+v", f)
	}
	for _, do := range []string{
		"", "save", "up-mapping.0", "remove-mapping.2", "remove-mapping.-1", "remove-condition.x",
		"add-lookup", "add-lookup.2", "remove-lookup.0.1", "remove-when.1", "remove-when.1.-1",
		"add-one-condition.0", "add-one-condition", "remove-one-condition.1.1", "remove-one-condition.2.0", "add-one-when.1", "add-any-when.2", "remove-key.1",
	} {
		if f.edit(do) {
			t.Errorf("%s was done", do)
		}
	}
}
