package webhook

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// PathTo returns the path of these steps, written as people write paths:
// order.items[0]['odd key']. ParsePath reads it back to the same steps.
func PathTo(segments ...Segment) Path {
	var b []byte
	for i, s := range segments {
		plain := !s.IsIndex && isPlainName(s.Name)
		switch {
		case i == 0 && !plain:
			b = append(b, '$') // a bracket in front would start a list in YAML
		case i > 0 && plain:
			b = append(b, '.')
		}
		switch {
		case plain:
			b = append(b, s.Name...)
		case s.IsIndex:
			b = append(strconv.AppendInt(append(b, '['), s.Index, 10), ']')
		default:
			b = append(appendPrintableName(append(b, '['), s.Name), ']')
		}
	}
	return Path{text: string(b), segments: append([]Segment(nil), segments...)}
}

// isPlainName reports whether a name may follow a dot and can be seen as it is.
func isPlainName(name string) bool {
	for i, r := range name {
		if !isNameFirst(r) && (i == 0 || r < '0' || r > '9') || !unicode.IsPrint(r) {
			return false
		}
	}
	return name != ""
}

// appendPrintableName is appendNormalName with what cannot be seen escaped too.
func appendPrintableName(b []byte, name string) []byte {
	b = append(b, '\'')
	for _, r := range name {
		i := strings.IndexRune(escapable, r)
		switch {
		case i >= 0:
			b = append(b, '\\', escapeChars[i])
		case unicode.IsPrint(r):
			b = append(b, string(r)...)
		case r > 0xffff:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
	}
	return append(b, '\'')
}
