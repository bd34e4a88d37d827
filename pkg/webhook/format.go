package webhook

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Format writes a definition as YAML that Parse reads back to the same, in the
// order of the documentation.
func Format(def Definition) ([]byte, error) {
	var b []byte
	pair := func(indent, key, value string) {
		b = append(b, indent+key+": "...)
		b = append(appendText(b, value), '\n')
	}
	pair("", "name", def.Name)
	pair("", "community", def.Community)
	pair("", "state", string(def.State))
	if def.Receive != nil && !def.Receive.isEmpty() {
		b = appendReceive(append(b, "receive:\n"...), *def.Receive)
	}
	b = appendAuth(b, def.Auth)
	pair("", "encryption", string(def.Encryption))
	if def.User != nil {
		b = append(b, "user:\n"...)
		pair("  ", "by", string(def.User.By))
		if def.User.Kind != "" {
			pair("  ", "kind", def.User.Kind)
		}
		if def.User.Header != "" {
			pair("  ", "header", def.User.Header)
		} else {
			pair("  ", "path", def.User.Path)
		}
	}
	if def.Idempotency != nil {
		b = append(appendIdempotency(append(b, "idempotency: "...), *def.Idempotency), '\n')
	}
	if def.LateUsers != nil {
		b = append(appendLateUsers(append(b, "late_users: "...), *def.LateUsers), '\n')
	}
	if len(def.When) > 0 {
		b = append(b, "when:\n"...)
	}
	for _, c := range def.When {
		b = append(appendCondition(append(b, "  - "...), c), '\n')
	}
	if len(def.Mappings) > 0 {
		b = append(b, "mappings:\n"...)
	}
	for _, m := range def.Mappings {
		b = appendMapping(b, m)
	}
	if !utf8.Valid(b) {
		return nil, errors.New("write a definition: it holds text that is not UTF-8")
	}
	return b, nil
}

// flow writes an object in braces.
type flow struct {
	b     []byte
	count int
}

func (f *flow) key(name string) {
	if f.count++; f.count > 1 {
		f.b = append(f.b, ", "...)
	} else {
		f.b = append(f.b, '{')
	}
	f.b = append(f.b, name+": "...)
}

func (f *flow) text(name, value string) {
	if value != "" {
		f.key(name)
		f.b = appendText(f.b, value)
	}
}

func (f *flow) scalar(name string, value Scalar) {
	if !value.IsZero() {
		f.key(name)
		f.b = appendScalar(f.b, value)
	}
}

func (f *flow) end() []byte {
	if f.count == 0 {
		f.b = append(f.b, '{')
	}
	return append(f.b, '}')
}

func appendScalar(b []byte, s Scalar) []byte {
	switch s.Kind() {
	case NoScalar:
		return append(b, "null"...)
	case StringScalar:
		return appendText(b, s.Text())
	default:
		return append(b, s.Text()...)
	}
}

// plainPattern is text that no YAML reader takes for anything else, in a flow
// collection either. It is narrower than YAML: quotes are never wrong.
var plainPattern = regexp.MustCompile(`^[A-Za-z$_][A-Za-z0-9$_./@-]*( [A-Za-z0-9$_./@-]+)*$`)

// YAML 1.1 readers take these for booleans and null.
var keywords = map[string]bool{
	"true": true, "false": true, "null": true, "yes": true, "no": true,
	"on": true, "off": true, "y": true, "n": true,
}

func appendText(b []byte, s string) []byte {
	if plainPattern.MatchString(s) && !keywords[strings.ToLower(s)] {
		return append(b, s...)
	}
	return appendQuoted(b, s)
}

// appendQuoted writes a double-quoted scalar. Go's escapes are a subset of
// YAML's for text that is UTF-8; other text is left for Format to refuse.
func appendQuoted(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		return append(b, s...)
	}
	return strconv.AppendQuote(b, s)
}
