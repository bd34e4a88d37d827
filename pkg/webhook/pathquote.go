package webhook

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads a string literal of RFC 9535, section 2.3.1.1. It is JSON's, but
// for the two kinds of quotes: only the kind around the literal may be escaped.
func (p *pathParser) quoted() (string, error) {
	quote, _ := p.peek()
	start := p.pos
	p.pos++
	var name strings.Builder
	for {
		r, size := p.peek()
		switch {
		case r == -1:
			return "", p.fail(start, "the closing %c is missing", quote)
		case r == quote:
			p.pos++
			return name.String(), nil
		case r < ' ':
			return "", p.fail(p.pos, "a control character is written as an escape, such as \\n or \\u0001")
		case r == '\\':
			escaped, err := p.escape(quote)
			if err != nil {
				return "", err
			}
			name.WriteRune(escaped)
		default:
			p.pos += size
			name.WriteRune(r)
		}
	}
}

func (p *pathParser) escape(quote rune) (rune, error) {
	start := p.pos
	p.pos++
	r, size := p.peek()
	p.pos += size
	switch r {
	case 'b':
		return '\b', nil
	case 't':
		return '\t', nil
	case 'n':
		return '\n', nil
	case 'f':
		return '\f', nil
	case 'r':
		return '\r', nil
	case '/', '\\', quote:
		return r, nil
	case 'u':
		return p.unicodeEscape(start)
	default:
		return 0, p.fail(start, "there is no such escape; allowed are \\b \\t \\n \\f \\r \\/ \\\\ \\%c and \\u with four hex digits", quote)
	}
}

// unicodeEscape reads what follows \u: four hex digits, and for a high surrogate
// the escaped low one.
func (p *pathParser) unicodeEscape(start int) (rune, error) {
	r, ok := p.hex4()
	if !ok {
		return 0, p.fail(start, "four hex digits follow \\u")
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if strings.HasPrefix(p.text[p.pos:], `\u`) {
		p.pos += 2
		if low, ok := p.hex4(); ok {
			r = utf16.DecodeRune(r, low)
		}
	}
	if utf16.IsSurrogate(r) || r == utf8.RuneError {
		return 0, p.fail(start, "half of a surrogate pair is not a character")
	}
	return r, nil
}

func (p *pathParser) hex4() (rune, bool) {
	if len(p.text)-p.pos < 4 {
		return 0, false
	}
	// ParseUint would take a sign or _ with base 0 only; base 16 is strict.
	n, err := strconv.ParseUint(p.text[p.pos:p.pos+4], 16, 16)
	if err != nil {
		return 0, false
	}
	p.pos += 4
	return rune(n), true
}
