package mapping

import (
	"strconv"

	"github.com/coinhook/coinhook/applier/admin/redact"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

func isConstant(m *webhook.CompiledMapping) bool { return m.Slot == webhook.NoSlot && m.Header == "" }

// standIn gives what a mapping has in the place of a value: that of its lookup, or its
// default. It is nil where the value counts as it is, which is then neither absent nor
// null. Invalid is the reason of a value that cannot be looked up.
func standIn(m *webhook.CompiledMapping, in *scope, v value, invalid delivery.Reason) (*webhook.Entry, *delivery.Failure) {
	if !v.present() {
		if m.Default != nil {
			return m.Default, nil
		}
		return nil, missing(delivery.MissingField, in.spot(&m.CompiledSource), v)
	}
	if m.Lookup == nil {
		return nil, nil
	}
	var e webhook.Entry
	ok := false
	switch v.kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		at := in.spot(&m.CompiledSource)
		return nil, fail(invalid, at.path, "The value %s is %s; a lookup finds a string, a number or a boolean.", at.at, v.kindName())
	case jsontext.KindNumber:
		e, ok = m.Lookup.NumberText(string(v.raw))
	default:
		e, ok = m.Lookup.Text(v.scalarText())
	}
	switch {
	case ok:
		return &e, nil
	case m.Default != nil:
		return m.Default, nil
	}
	at := in.spot(&m.CompiledSource)
	return nil, fail(delivery.MissingField, at.path, "The value %s, %s, is not in the lookup, and the mapping has no default.",
		at.at, in.inWords(&m.CompiledSource, v))
}

// inWords says what a value is.
func (in *scope) inWords(s *webhook.CompiledSource, v value) string {
	switch v.kind {
	case jsontext.KindString, jsontext.KindNumber, jsontext.KindTrue, jsontext.KindFalse:
		if in.sealed && s.Slot != webhook.NoSlot {
			return v.kindName()
		}
		return v.kindName() + " " + shown(nameOf(s), v.scalarText(), v.kind == jsontext.KindString)
	default:
		return v.kindName()
	}
}

// maxShown bounds what is quoted of a value, in characters.
const maxShown = 40

// maxLooked bounds what is searched for secrets, in characters.
const maxLooked = 1_000

// shown is a text of a payload, a header or a condition in a sentence: shortened,
// and without what its name or its form says is secret.
func shown(name, text string, quoted bool) string {
	runes := []rune(text)
	clean := []rune(redact.Value(name, string(runes[:min(len(runes), maxLooked)])))
	if len(clean) > maxShown {
		clean = append(clean[:maxShown], '…')
	}
	if quoted {
		return strconv.Quote(string(clean))
	}
	return string(clean)
}

// nameOf is the name nearest to a value: it says what the value is.
func nameOf(s *webhook.CompiledSource) string {
	if s.Slot == webhook.NoSlot {
		return s.Header
	}
	return s.Path.LastName()
}
