package redact

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonSpans reads JSON as far as it is any. rest is where it stops: at the end,
// or at the member or value that is broken.
func jsonSpans(src []byte) (spans []span, rest int) {
	d := jsontext.NewDecoder(bytes.NewBuffer(src), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		before := int(d.InputOffset())
		s, name, isName, err := nextSpans(d)
		if err != nil {
			return spans, before
		}
		spans = append(spans, s...)
		if !isName {
			continue
		}
		// A name and its value are one step: of a member that is broken the name
		// is needed to judge what follows it.
		s, err = memberSpans(d, name)
		if err != nil {
			return spans, before
		}
		spans = append(spans, s...)
	}
}

// nextSpans reads a name, or a value that is not a member's, or one end of an
// object or array.
func nextSpans(d *jsontext.Decoder) (spans []span, name string, isName bool, err error) {
	kind, length := d.StackIndex(d.StackDepth())
	isName = kind == '{' && length%2 == 0
	switch d.PeekKind() {
	case '{', '[', '}', ']':
		_, err = d.ReadToken()
		return nil, "", false, err
	}
	v, err := d.ReadValue()
	if err != nil || v.Kind() != '"' {
		return nil, "", false, err
	}
	text, _ := jsontext.AppendUnquote(nil, v) // bad UTF-8 becomes U+FFFD
	return stringSpans(v, text, int(d.InputOffset())), string(text), isName, nil
}

// memberSpans reads the value of a member, or the beginning of an object or
// array that is none to hide.
func memberSpans(d *jsontext.Decoder, name string) ([]span, error) {
	kind := d.PeekKind()
	isContainer := kind == '{' || kind == '['
	secret := saysSecret(name) || !isContainer && saysSecretScalar(name)
	if !secret && isContainer {
		_, err := d.ReadToken()
		return nil, err
	}
	v, err := d.ReadValue()
	if err != nil {
		return nil, err
	}
	end := int(d.InputOffset())
	switch {
	case !secret && v.Kind() == '"':
		text, _ := jsontext.AppendUnquote(nil, v) // bad UTF-8 becomes U+FFFD
		return stringSpans(v, text, end), nil
	case !secret, v.Kind() == 'n', string(v) == quotedMark:
		return nil, nil
	}
	return []span{{end - len(v), end, quotedMark}}, nil
}

// stringSpans finds the keys in a JSON string that ends at end. A string with escapes
// is rewritten if it has a key, because an escape may be inside the key.
func stringSpans(v jsontext.Value, text []byte, end int) []span {
	if !bytes.ContainsRune(v, '\\') {
		return moved(keySpans(v[1:len(v)-1]), end-len(v)+1)
	}
	clean, changed := replace(text, keySpans(text))
	if !changed {
		return nil
	}
	quoted, _ := jsontext.AppendQuote(nil, clean) // bad UTF-8 becomes U+FFFD
	return []span{{end - len(v), end, string(quoted)}}
}
