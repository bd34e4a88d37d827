package redact

import (
	"bytes"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonReader finds what to hide in JSON.
type jsonReader struct {
	*jsontext.Decoder
	depth int // how many texts the JSON is inside of
	spans []span
	// pairs are of the objects that are open, by their depth in the JSON.
	pairs map[int]pair
}

// pair is what an object such as {"name": "password", "value": "x"} has shown.
type pair struct {
	isSecret bool
	value    span // what to replace, once the name says secret
}

// jsonSpans reads JSON as far as it is valid. rest is where it stops: at the end,
// or at the member or value that is broken.
func jsonSpans(src []byte, depth int) (spans []span, rest int) {
	d := jsontext.NewDecoder(bytes.NewBuffer(src), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	r := jsonReader{Decoder: d, depth: depth, pairs: map[int]pair{}}
	for {
		before, found := int(r.InputOffset()), len(r.spans)
		name, isName, err := r.next()
		// A name and its value are one step: of a member that is broken the name
		// is needed to judge what follows it.
		if err == nil && isName {
			err = r.member(name)
		}
		if err != nil {
			return r.spans[:found], before
		}
	}
}

// next reads a name, or a value that is not a member's, or one end of an object or
// array.
func (r *jsonReader) next() (name string, isName bool, err error) {
	kind, length := r.StackIndex(r.StackDepth())
	isName = kind == '{' && length%2 == 0
	switch r.PeekKind() {
	case '{', '[', '}', ']':
		_, err = r.ReadToken()
		delete(r.pairs, r.StackDepth()+1)
		return "", false, err
	}
	v, err := r.ReadValue()
	if err != nil || v.Kind() != '"' {
		return "", false, err
	}
	text := r.text(v)
	return string(text), isName, nil
}

// text unquotes a JSON string that was just read, and finds what to hide in it.
func (r *jsonReader) text(v jsontext.Value) []byte {
	text, _ := jsontext.AppendUnquote(nil, v) // bad UTF-8 becomes U+FFFD
	r.spans = append(r.spans, stringSpans(v, text, int(r.InputOffset()), r.depth)...)
	return text
}

// member reads the value of a member, or the beginning of an object or array that is
// none to hide.
func (r *jsonReader) member(name string) error {
	kind := r.PeekKind()
	isContainer := kind == '{' || kind == '['
	secret := saysSecret(name) || !isContainer && saysSecretScalar(name)
	if !secret && isContainer {
		_, err := r.ReadToken()
		delete(r.pairs, r.StackDepth())
		return err
	}
	v, err := r.ReadValue()
	if err != nil {
		return err
	}
	end := int(r.InputOffset())
	whole := span{end - len(v), end, quotedMark}
	switch {
	case v.Kind() == 'n', string(v) == quotedMark:
	case secret:
		r.spans = append(r.spans, whole)
	case strings.EqualFold(name, "value"):
		if v.Kind() == '"' {
			r.text(v)
		}
		r.pair(pair{value: whole})
	case v.Kind() == '"':
		text := r.text(v)
		if strings.EqualFold(name, "name") || strings.EqualFold(name, "key") {
			r.pair(pair{isSecret: saysSecretScalar(string(text))})
		}
	}
	return nil
}

// pair adds what a member of the object says of its name and value.
func (r *jsonReader) pair(p pair) {
	depth := r.StackDepth()
	known := r.pairs[depth]
	known.isSecret = known.isSecret || p.isSecret
	if p.value.to > 0 {
		known.value = p.value
	}
	r.pairs[depth] = known
	if known.isSecret && known.value.to > 0 {
		r.spans = append(r.spans, known.value)
	}
}

// stringSpans finds what to hide in a JSON string that ends at end. A string with
// escapes is rewritten as a whole if it has a secret: an escape may be inside of that.
func stringSpans(v jsontext.Value, text []byte, end, depth int) []span {
	clean, changed := nested(text, depth)
	if !changed && !bytes.ContainsRune(v, '\\') {
		return moved(plainSpans(v[1:len(v)-1]), end-len(v)+1)
	}
	if !changed {
		clean, changed = replace(text, plainSpans(text))
	}
	if !changed {
		return nil
	}
	quoted, _ := jsontext.AppendQuote(nil, clean) // bad UTF-8 becomes U+FFFD
	return []span{{end - len(v), end, string(quoted)}}
}

// plainSpans finds what to hide in a text that is no JSON: keys, and the query of a URL.
func plainSpans(text []byte) []span { return append(keySpans(text), querySpans(text)...) }
