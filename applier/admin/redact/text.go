package redact

import (
	"bytes"
	"net/url"
	"regexp"
)

// member is the beginning of a member in JSON that is broken, of a form's field, as
// user%5Bpassword%5D=x, or of a line such as "password: x".
var member = regexp.MustCompile(`(?:"([^"\\\n]+)"|'([^'\\\n]+)'|((?:[A-Za-z]|%[0-9A-Fa-f]{2})(?:[A-Za-z0-9_.+\[\]-]|%[0-9A-Fa-f]{2})*))[ \t\r\n]*[:=][ \t]*`)

// parameter is one of a query.
var parameter = regexp.MustCompile(`[?&;]([^\s?&;=#"']{1,128})=([^\s&;#"']+)`)

// textSpans finds keys in a text that is not JSON, or not any more, and values
// whose names say secret. Where such a value ends is a guess on the safe side.
func textSpans(text []byte, depth int) []span {
	spans := keySpans(text)
	for at := 0; ; {
		m := member.FindSubmatchIndex(text[at:])
		if m == nil {
			return spans
		}
		end := at + m[1]
		if !saysSecretScalar(name(text[at:], m)) {
			if s, ok := fieldSpan(text, end, depth); ok {
				spans, end = append(spans, s), s.to
			}
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

func name(text []byte, m []int) string {
	for group := 2; group < len(m); group += 2 {
		if m[group] >= 0 {
			return unescaped(text[m[group]:m[group+1]])
		}
	}
	return ""
}

// unescaped is a name as a form means it.
func unescaped(name []byte) string {
	if plain, err := url.QueryUnescape(string(name)); err == nil {
		return plain
	}
	return string(name)
}

// fieldSpan hides what is secret in JSON that is the value of a form's field. It stops
// where another field may begin, so that each byte is read once.
func fieldSpan(text []byte, from, depth int) (span, bool) {
	if text[from-1] != '=' {
		return span{}, false
	}
	to := len(text)
	if n := bytes.IndexAny(text[from:], "&= \t\r\n"); n >= 0 {
		to = from + n
	}
	plain, err := url.QueryUnescape(string(text[from:to]))
	if err != nil {
		return span{}, false
	}
	clean, changed := nested([]byte(plain), depth)
	return span{from, to, url.QueryEscape(string(clean))}, changed
}

// querySpans finds the parameters of a URL whose names say secret.
func querySpans(text []byte) (spans []span) {
	for _, at := range parameter.FindAllSubmatchIndex(text, -1) {
		if value := text[at[4]:at[5]]; saysSecretScalar(unescaped(text[at[2]:at[3]])) && !isMarked(value) {
			spans = append(spans, span{at[4], at[5], Mark})
		}
	}
	return spans
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
