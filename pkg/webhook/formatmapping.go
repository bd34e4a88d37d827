package webhook

import (
	"maps"
	"slices"
	"strconv"
)

func appendCondition(b []byte, c Condition) []byte {
	f := flow{b: b}
	f.text("path", c.Path)
	f.text("header", c.Header)
	f.scalar("equals", c.Equals)
	f.scalar("not_equals", c.NotEquals)
	if len(c.In) > 0 {
		f.key("in")
		f.b = appendList(f.b, c.In, appendScalar)
	}
	if c.Exists != nil {
		f.key("exists")
		f.b = strconv.AppendBool(f.b, *c.Exists)
	}
	f.number("greater_than", c.GreaterThan)
	f.number("at_least", c.AtLeast)
	f.number("less_than", c.LessThan)
	f.number("at_most", c.AtMost)
	f.text("starts_with", c.StartsWith)
	f.text("ends_with", c.EndsWith)
	f.text("contains", c.Contains)
	if len(c.Any) > 0 {
		f.key("any")
		f.b = appendList(f.b, c.Any, appendCondition)
	}
	return f.end()
}

func appendList[T any](b []byte, items []T, item func([]byte, T) []byte) []byte {
	b = append(b, '[')
	for i, one := range items {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = item(b, one)
	}
	return append(b, ']')
}

func appendSource(b []byte, s Source) []byte {
	f := flow{b: b}
	f.text("path", s.Path)
	f.text("header", s.Header)
	return f.end()
}

func appendIdempotency(b []byte, key Idempotency) []byte {
	if key.Composite != nil {
		return appendList(b, key.Composite, appendSource)
	}
	f := flow{b: b}
	f.text("header", key.Header)
	f.text("path", key.Path)
	if key.Body {
		f.key("body")
		f.b = append(f.b, "true"...)
	}
	return f.end()
}

// appendMapping writes the item of a list: one line, or several where a line would
// hide what differs between two versions.
func appendMapping(b []byte, m Mapping) []byte {
	if len(m.When) > 0 || m.Each != "" || len(m.Value.Lookup) > 0 {
		return appendLongMapping(b, m)
	}
	f := flow{b: append(b, "  - "...)}
	f.text("currency", m.Currency)
	f.text("operator", string(m.Operator))
	f.text("field", m.Field)
	f.key("value")
	f.b = appendValue(f.b, m.Value)
	return append(f.end(), '\n')
}

func appendValue(b []byte, v Value) []byte {
	f := flow{b: b}
	for _, p := range slices.Concat(placeOfValue(v), madeOfValue(v)) {
		f.key(p.key)
		f.b = append(f.b, p.text...)
	}
	return f.end()
}

// part is a key with its value as YAML.
type part struct {
	key  string
	text []byte
}

func placeOfValue(v Value) (parts []part) {
	if v.Path != "" {
		parts = append(parts, part{"path", appendText(nil, v.Path)})
	}
	if v.Header != "" {
		parts = append(parts, part{"header", appendText(nil, v.Header)})
	}
	if v.Constant != nil {
		parts = append(parts, part{"constant", appendQuoted(nil, *v.Constant)})
	}
	return parts
}

// madeOfValue has all that follows a lookup.
func madeOfValue(v Value) (parts []part) {
	if v.Default != nil {
		parts = append(parts, part{"default", appendQuoted(nil, *v.Default)})
	}
	if v.TimesBy != nil {
		parts = append(parts, part{"times", appendSource(nil, *v.TimesBy)})
	}
	for _, p := range [][2]string{{"times", v.Times}, {"min", v.Min}, {"max", v.Max}} {
		if p[1] != "" {
			parts = append(parts, part{p[0], appendQuoted(nil, p[1])})
		}
	}
	if v.Round != "" {
		parts = append(parts, part{"round", appendText(nil, string(v.Round))})
	}
	if v.Signed {
		parts = append(parts, part{"signed", []byte("true")})
	}
	return parts
}

// number writes a number bare, if it is one.
func (f *flow) number(name, text string) {
	if text == "" {
		return
	}
	f.key(name)
	if isNumber(text) {
		f.b = append(f.b, text...)
	} else {
		f.b = appendQuoted(f.b, text)
	}
}

func appendLongMapping(b []byte, m Mapping) []byte {
	lead := "  - "
	pair := func(key string, value []byte) {
		b = append(append(append(b, lead+key+": "...), value...), '\n')
		lead = "    "
	}
	for _, p := range [][2]string{{"currency", m.Currency}, {"operator", string(m.Operator)}, {"field", m.Field}, {"each", m.Each}} {
		if p[1] != "" {
			pair(p[0], appendText(nil, p[1]))
		}
	}
	if len(m.When) > 0 {
		b = append(b, lead+"when:\n"...)
		lead = "    "
	}
	for _, c := range m.When {
		b = append(appendCondition(append(b, "      - "...), c), '\n')
	}
	if len(m.Value.Lookup) == 0 {
		pair("value", appendValue(nil, m.Value))
		return b
	}
	return appendLookup(append(b, lead+"value:\n"...), m.Value)
}

// appendLookup writes a value with a line for each entry of its lookup.
func appendLookup(b []byte, v Value) []byte {
	for _, p := range placeOfValue(v) {
		b = append(append(append(b, "      "+p.key+": "...), p.text...), '\n')
	}
	b = append(b, "      lookup:\n"...)
	for _, key := range slices.Sorted(maps.Keys(v.Lookup)) {
		b = appendText(append(b, "        "...), key)
		b = append(appendQuoted(append(b, ": "...), v.Lookup[key]), '\n')
	}
	for _, p := range madeOfValue(v) {
		b = append(append(append(b, "      "+p.key+": "...), p.text...), '\n')
	}
	return b
}
