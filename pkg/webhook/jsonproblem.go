package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// isLikeJSON reports whether a text that is no valid JSON was meant to be: YAML seldom
// begins with a brace or a bracket and a quote.
func isLikeJSON(src []byte) bool {
	rest := bytes.TrimSpace(src)
	if len(rest) == 0 || rest[0] != '{' && rest[0] != '[' {
		return false
	}
	rest = bytes.TrimSpace(rest[1:])
	return len(rest) == 0 || bytes.IndexByte([]byte(`"{}[]`), rest[0]) >= 0
}

// jsonProblem says what is wrong with a text that was meant to be JSON. It returns the
// error of YAML where there is nothing to say.
func jsonProblem(src []byte, yaml error) error {
	decoder := json.NewDecoder(bytes.NewReader(src))
	var value any
	err := decoder.Decode(&value)
	if err == nil {
		return behindJSON(src, int(decoder.InputOffset()), yaml)
	}
	syntax, isSyntax := errors.AsType[*json.SyntaxError](err)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return cutJSON(src)
	case isSyntax:
		at := max(int(syntax.Offset)-1, 0)
		return sourceError(placeOf(src, at), "not valid JSON: %s%s", syntax.Error(), jsonHint(src[:at], syntax.Error()))
	}
	return yaml
}

// behindJSON says what stands behind one document.
func behindJSON(src []byte, offset int, yaml error) error {
	rest := bytes.TrimLeft(src[offset:], " \t\r\n")
	if len(rest) == 0 {
		return yaml
	}
	place := placeOf(src, len(src)-len(rest))
	if rest[0] == '{' || rest[0] == '[' {
		return sourceError(place, "one file holds one document; put this one into a file of its own")
	}
	return sourceError(place, "the JSON ends before this; remove what follows")
}

// cutJSON says what is still open where a text ends.
func cutJSON(src []byte) error {
	var open []int // offsets of brackets, and last that of a quote
	inText := false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case inText && c == '\\':
			i++
		case c == '"' && inText:
			inText, open = false, open[:len(open)-1]
		case c == '"':
			inText, open = true, append(open, i)
		case inText:
		case c == '{', c == '[':
			open = append(open, i)
		case (c == '}' || c == ']') && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	end := placeOf(src, len(bytes.TrimRight(src, " \t\r\n")))
	if len(open) == 0 {
		return sourceError(end, "the JSON ends too early: is the file cut?")
	}
	last := open[len(open)-1]
	return sourceError(end, "the JSON ends too early: the %c of line %d is not closed. Is the file cut?", src[last], placeOf(src, last).line)
}

// jsonHint says what most likely has to change, before the place of an error.
func jsonHint(before []byte, message string) string {
	switch {
	case bytes.HasSuffix(bytes.TrimSpace(before), []byte(",")) && strings.Contains(message, "looking for beginning of"):
		return "; JSON has no comma behind the last entry"
	case strings.HasPrefix(message, "invalid character '/'"), strings.HasPrefix(message, "invalid character '#'"):
		return "; JSON has no comments, and YAML has"
	case strings.HasPrefix(message, `invalid character '\''`):
		return "; JSON has double quotes only"
	case strings.Contains(message, "after object key:value pair"), strings.Contains(message, "after array element"):
		return "; is a comma missing before it?"
	case strings.Contains(message, "after object key"):
		return "; is a colon missing before it?"
	}
	return ""
}
