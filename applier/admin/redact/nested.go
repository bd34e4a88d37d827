package redact

import (
	"bytes"
	"encoding/base64"

	"github.com/go-json-experiment/json/jsontext"
)

// maxNested is how many texts deep JSON is looked for.
const maxNested = 4

// nested returns a text that is JSON, as it is or in base64, without its secrets. Other
// texts it leaves as they are.
func nested(text []byte, depth int) (clean []byte, changed bool) {
	if depth >= maxNested {
		return text, false
	}
	if isJSON(text) {
		return payloadIn(text, depth+1)
	}
	const first = "eyIWK" // base64 of what JSON begins with: {, [ and what may stand before them
	if len(text) < 8 || !bytes.ContainsRune([]byte(first), rune(text[0])) {
		return text, false
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		plain, err := encoding.AppendDecode(nil, text)
		if err != nil || !isJSON(plain) {
			continue
		}
		if plain, changed = payloadIn(plain, depth+1); changed {
			return encoding.AppendEncode(nil, plain), true
		}
		break
	}
	return text, false
}

// isJSON reports whether a text is an object or an array.
func isJSON(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) > 0 && (text[0] == '{' || text[0] == '[') &&
		jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}
