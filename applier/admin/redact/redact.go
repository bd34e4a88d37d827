// Package redact hides secrets in payloads and headers that people see. It is
// pure. Payloads that programs execute are never redacted.
package redact

import (
	"bytes"
	"cmp"
	"slices"
)

// Mark replaces a secret.
const Mark = "[redacted]"

// quotedMark stands where a secret was the value of a JSON member.
const quotedMark = `"` + Mark + `"`

// Payload returns a payload without its secrets, and whether it had any. JSON
// stays JSON: the values of members whose names say secret are replaced, all of
// an object or array below such a name, and what looks like a key in any other
// string. Everything else stays as it is, byte for byte.
//
// The same holds for JSON that is a text of its own, as it is or in base64, in JSON or
// in the field of a form.
func Payload(payload []byte) ([]byte, bool) { return payloadIn(payload, 0) }

func payloadIn(payload []byte, depth int) ([]byte, bool) {
	spans, rest := jsonSpans(payload, depth)
	if tail := payload[rest:]; len(bytes.TrimSpace(tail)) > 0 {
		spans = append(spans, moved(textSpans(tail, depth), rest)...)
	}
	return replace(payload, spans)
}

// Text returns a text without its secrets, and whether it had any.
func Text(text string) (string, bool) {
	out, changed := replace([]byte(text), textSpans([]byte(text), 0))
	return string(out), changed
}

// Value returns the value that a member or header of this name has, without its
// secrets.
func Value(name, value string) string {
	clean, _ := Header(name, value)
	return clean
}

// Header returns the value of an HTTP header without its secrets, and whether it
// had any.
func Header(name, value string) (string, bool) {
	if saysSecretScalar(name) {
		return Mark, value != Mark
	}
	return Text(value)
}

// span is a part of the source and what stands there instead.
type span struct {
	from, to int
	by       string
}

func moved(spans []span, by int) []span {
	for i := range spans {
		spans[i].from += by
		spans[i].to += by
	}
	return spans
}

// replace returns src as it is, not a copy, where there is nothing to replace.
func replace(src []byte, spans []span) ([]byte, bool) {
	if len(spans) == 0 {
		return src, false
	}
	// Of those that overlap the first one stands for all.
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to)) })
	out := make([]byte, 0, len(src)+len(spans)*len(quotedMark))
	end := 0
	for _, s := range spans {
		if s.from < end {
			end = max(end, s.to)
			continue
		}
		out = append(append(out, src[end:s.from]...), s.by...)
		end = s.to
	}
	return append(out, src[end:]...), true
}
