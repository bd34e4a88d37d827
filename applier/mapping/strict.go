package mapping

import (
	"bytes"
	"errors"
	"io"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how many objects and arrays may stand in each other.
const maxDepth = 64

// invalidJSON says where and why a body is not JSON. It keeps the decoder's own
// words out: they quote the payload.
func invalidJSON(body []byte, err error) *delivery.Failure {
	offset, cause := len(body), "the payload ends before the JSON is complete"
	var syntax *jsontext.SyntacticError
	switch {
	case len(bytes.Trim(body, " \t\r\n")) == 0:
		offset, cause = 0, "the payload holds no JSON"
	case bytes.HasPrefix(body, []byte("\uFEFF")):
		offset, cause = 0, "the payload starts with a byte order mark"
	case errors.As(err, &syntax) && !errors.Is(err, io.ErrUnexpectedEOF):
		offset = int(syntax.ByteOffset)
		if at, deep := tooDeep(body[:min(offset+1, len(body))]); deep {
			return tooDeepAt(at)
		}
		cause = syntaxCause(body, offset, err)
	}
	return fail(delivery.InvalidJSON, "", "The payload is not valid JSON at byte %d: %s.", offset, cause)
}

func syntaxCause(body []byte, offset int, err error) string {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "an object has the same name twice"
	case errors.Is(err, jsontext.ErrNonStringName):
		return "the name of an object's member is not a string"
	case offset < len(body) && body[offset] >= 0x80:
		return "a byte outside of a string, or one that is not UTF-8"
	case offset < len(body) && body[offset] < ' ' && !isBlank(body[offset]):
		return "a control character that is not escaped"
	case offset < len(body) && body[offset] == '\\':
		return "an escape that JSON does not have, or half of a surrogate pair"
	default:
		return "a character that JSON does not allow here"
	}
}

func tooDeepAt(offset int) *delivery.Failure {
	return fail(delivery.InvalidJSON, "",
		"The payload is nested too deep at byte %d: the limit is %d objects and arrays in each other.", offset, maxDepth)
}

func onlyBlanks(body []byte, from int) *delivery.Failure {
	for i, c := range body[from:] {
		if !isBlank(c) {
			return fail(delivery.InvalidJSON, "",
				"The payload is not valid JSON at byte %d: more data follows the end of the document.", from+i)
		}
	}
	return nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// tooDeep finds the first object or array beyond the limit. Its input is JSON
// up to its last byte.
//
// The decoder has its own limit of 10,000. Counting there would take a call for each
// token, which costs more than this scan of the bytes.
func tooDeep(body []byte) (offset int, deep bool) {
	if bytes.Count(body, []byte("{"))+bytes.Count(body, []byte("[")) <= maxDepth {
		return 0, false
	}
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = endOfString(body, i)
		case '{', '[':
			if depth++; depth > maxDepth {
				return i, true
			}
		case '}', ']':
			depth--
		}
	}
	return 0, false
}

// endOfString gives the index of the quote that ends the string which starts at i.
func endOfString(body []byte, i int) int {
	for i++; i < len(body) && body[i] != '"'; i++ {
		if body[i] == '\\' {
			i++
		}
	}
	return i
}

// formChars are what may stand in a form as it is sent: everything else is escaped there.
const formChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~!*'()[],:;@/?$+%&="

// looksLikeForm reports whether a body that is no JSON begins with a name and a value as
// forms are written. Some senders give no content type, or a wrong one.
func looksLikeForm(body []byte) bool {
	name, value, found := bytes.Cut(body, []byte("="))
	if !found || len(name) == 0 || len(bytes.Trim(value, "=")) == 0 || bytes.Contains(name, []byte("&")) {
		return false
	}
	return len(bytes.Trim(body, formChars)) == 0
}
