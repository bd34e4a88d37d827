package webhook

import (
	"fmt"
	"unicode/utf8"
)

func checkIdempotency(r *report, field string, key Idempotency) {
	parts := 0
	for _, set := range []bool{key.Header != "", key.Path != "", key.Body} {
		if set {
			parts++
		}
	}
	if parts != 1 {
		r.add(field, "want exactly one of header, path and body: true; leave idempotency out for the headers Idempotency-Key and webhook-id")
		return
	}
	switch {
	case key.Header != "":
		checkHeader(r, childField(field, "header"), key.Header)
	case key.Path != "":
		checkPath(r, childField(field, "path"), key.Path)
	}
}

func checkMapping(r *report, field string, m Mapping, currencies func(code string) bool, fields KnownField) {
	switch {
	case m.Field != "" && m.Currency != "":
		r.add(field, "a mapping is about a currency or a custom field, not both")
	case m.Field != "":
		checkFieldMapping(r, field, m, fields)
	default:
		checkCurrencyMapping(r, field, m, currencies)
	}
}

func checkCurrencyMapping(r *report, field string, m Mapping, currencies func(code string) bool) {
	switch code := childField(field, "currency"); {
	case m.Currency == "":
		r.add(code, "a currency is missing; name one, or a custom field with field")
	case currencies != nil && !currencies(m.Currency):
		r.add(code, "the currency %q is not known in this community; add it with coinhook currencies set", clip(m.Currency))
	}
	oneOf(r, childField(field, "operator"), m.Operator, Add, Subtract)
	value := childField(field, "value")
	checkSource(r, value, m.Value)
	if m.Value.Path == "" && m.Value.Constant != nil && !isNumber(*m.Value.Constant) {
		r.add(childField(value, "constant"), notNumber, clip(*m.Value.Constant))
	}
	if m.Value.Times != "" {
		checkTimes(r, childField(value, "times"), m.Value.Times)
	}
	if m.Value.Round != "" {
		oneOf(r, childField(value, "round"), m.Value.Round, RoundDown, RoundUp, RoundHalfEven)
	}
}

func checkFieldMapping(r *report, field string, m Mapping, fields KnownField) {
	if m.Operator != "" {
		r.add(childField(field, "operator"), "a custom field is set to the value and has no operator; leave it out")
	}
	value := childField(field, "value")
	checkSource(r, value, m.Value)
	for _, part := range []struct {
		name string
		set  bool
	}{{"times", m.Value.Times != ""}, {"round", m.Value.Round != ""}, {"signed", m.Value.Signed}} {
		if part.set {
			r.add(childField(value, part.name), "is for amounts of a currency; leave it out")
		}
	}
	check := func(string) error { return nil }
	if fields != nil {
		known, ok := fields(m.Field)
		if !ok {
			r.add(childField(field, "field"), "the custom field %q is not known in this community; add it with coinhook fields set", clip(m.Field))
			return
		}
		check = known
	}
	if c := m.Value.Constant; c != nil && m.Value.Path == "" {
		err := check(*c)
		if n := utf8.RuneCountInString(*c); n > MaxFieldLength {
			err = fmt.Errorf("the value has %d characters; the limit is %d", n, MaxFieldLength)
		}
		if err != nil {
			r.add(childField(value, "constant"), "%v", err)
		}
	}
}

// checkFieldsOnce refuses a custom field that is set twice: the first value would
// never be seen.
func checkFieldsOnce(r *report, mappings []Mapping) {
	first := make(map[string]int)
	for i, m := range mappings {
		if m.Field == "" {
			continue
		}
		if before, twice := first[m.Field]; twice {
			r.add(childField(itemField("mappings", i), "field"), "the custom field %q is set by mappings[%d] already", clip(m.Field), before)
			continue
		}
		first[m.Field] = i
	}
}

func checkSource(r *report, field string, v Value) {
	switch {
	case (v.Path != "") == (v.Constant != nil):
		r.add(field, "a value has either a path or a constant")
	case v.Path != "":
		checkPath(r, childField(field, "path"), v.Path)
	}
}
