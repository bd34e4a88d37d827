package mapping

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/go-json-experiment/json/jsontext"
)

// maxNames is how many names a form or query may have.
const maxNames = 1000

// formJSON returns a form or query, which is what, as a JSON object of texts: pairs
// that & separates, as HTML's forms are written. A name that occurs more than once
// has an array. Names are in the order in which they occur first.
func formJSON(text []byte, what string) ([]byte, *delivery.Failure) {
	names, texts, failure := readPairs(text, what)
	if failure != nil {
		return nil, failure
	}
	out := append(make([]byte, 0, 2*len(text)+2), '{')
	for i, name := range names {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, name), ':')
		all := texts[name]
		if len(all) == 1 {
			out = appendString(out, all[0])
			continue
		}
		out = append(out, '[')
		for j, one := range all {
			if j > 0 {
				out = append(out, ',')
			}
			out = appendString(out, one)
		}
		out = append(out, ']')
	}
	return append(out, '}'), nil
}

// appendString writes text that is UTF-8.
func appendString(out []byte, text string) []byte {
	out, _ = jsontext.AppendQuote(out, text) // it fails for other text alone
	return out
}

// readPairs reads the names, and the texts of each.
func readPairs(text []byte, what string) (names []string, texts map[string][]string, failure *delivery.Failure) {
	texts = map[string][]string{}
	at := 0
	for pair := range bytes.SplitSeq(text, []byte("&")) {
		if len(pair) > 0 {
			rawName, rawText, _ := bytes.Cut(pair, []byte("="))
			name, problem := unescape(rawName)
			value, problem2 := unescape(rawText)
			if problem == "" {
				problem = problem2
			}
			if problem != "" {
				return nil, nil, fail(delivery.InvalidPayload, "", "The %s cannot be read in the pair at byte %d: %s.", what, at, problem)
			}
			if _, known := texts[name]; !known {
				if len(names) == maxNames {
					return nil, nil, fail(delivery.InvalidPayload, "", "The %s has more than %d names, which is the limit.", what, maxNames)
				}
				names = append(names, name)
			}
			texts[name] = append(texts[name], value)
		}
		at += len(pair) + 1
	}
	return names, texts, nil
}

// unescape decodes percent-encoding and plus signs, or says what is wrong.
func unescape(raw []byte) (text, problem string) {
	text, err := url.QueryUnescape(string(raw))
	switch {
	case err != nil:
		return "", "a percent sign is not followed by two hexadecimal digits"
	case !utf8.ValidString(text):
		return "", "the text is not UTF-8"
	}
	return text, ""
}

// decodeBase64 takes both alphabets, with all of the padding or none. Line breaks are
// those of MIME.
func decodeBase64(text string) ([]byte, bool) {
	encoding := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if !strings.HasSuffix(text, "=") {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	out, err := encoding.DecodeString(text)
	return out, err == nil
}
