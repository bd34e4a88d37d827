package redact

import (
	"bytes"
	"regexp"
)

// member is the beginning of a member in JSON that is broken, of a form's field,
// or of a line such as "password: x".
var member = regexp.MustCompile(`(?:"([^"\\\n]+)"|'([^'\\\n]+)'|([A-Za-z][A-Za-z0-9_.-]*))[ \t\r\n]*[:=][ \t]*`)

// textSpans finds keys in a text that is not JSON, or not any more, and values
// whose names say secret. Where such a value ends is a guess on the safe side.
func textSpans(text []byte) []span {
	spans := keySpans(text)
	for at := 0; ; {
		m := member.FindSubmatchIndex(text[at:])
		if m == nil {
			return spans
		}
		end := at + m[1]
		if !saysSecretScalar(string(name(text[at:], m))) {
			at = end
			continue
		}
		from, to := valueAt(text, end)
		if to > from && !isMarked(text[from:to]) {
			spans = append(spans, span{from, to, Mark})
		}
		at = max(to, end)
	}
}

func name(text []byte, m []int) []byte {
	for group := 2; group < len(m); group += 2 {
		if m[group] >= 0 {
			return text[m[group]:m[group+1]]
		}
	}
	return nil
}

// valueAt returns what a secret value that begins there may reach to. Quotes are
// left standing.
func valueAt(text []byte, from int) (int, int) {
	if from == len(text) {
		return from, from
	}
	switch c := text[from]; {
	case bytes.HasPrefix(text[from:], []byte(Mark)):
		return from, from + len(Mark)
	case c == '"' || c == '\'':
		return from + 1, closing(text, from)
	case c == '{' || c == '[':
		return from, len(text)
	}
	to := len(text)
	if n := bytes.IndexAny(text[from:], "&,;}] \t\r\n"); n >= 0 {
		to = from + n
	}
	if string(text[from:to]) == "null" {
		return to, to
	}
	return from, to
}

// closing returns the place of the quote that closes the one there, or the end.
func closing(text []byte, open int) int {
	for i := open + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[open]:
			return i
		}
	}
	return len(text)
}

func isMarked(value []byte) bool { return string(value) == Mark }
