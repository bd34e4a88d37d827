package webhook

import (
	"encoding/json"
	"fmt"
	"html"
	"mime"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxAnswerParts and maxAnswerValue bound what a request makes of a template.
	maxAnswerParts = 20
	maxAnswerValue = 1 << 10 // bytes
)

// Template is the body of an answer: literal text, and the placeholders {id},
// {header.NAME} and {query.NAME}. Braces around anything else are literal, so that
// JSON needs no escapes.
type Template struct {
	parts  []templatePart
	escape func(string) string
}

type templatePart struct {
	literal string
	what    string // id, header or query; "" for a literal
	name    string
}

// placeholderPattern is what looks meant as a placeholder.
var placeholderPattern = regexp.MustCompile(`\{[A-Za-z][^{}"'\s:,;]*\}`)

func parseTemplate(text string) (Template, error) {
	var t Template
	for text != "" {
		at := placeholderPattern.FindStringIndex(text)
		if at == nil {
			t.parts = append(t.parts, templatePart{literal: text})
			break
		}
		if at[0] > 0 {
			t.parts = append(t.parts, templatePart{literal: text[:at[0]]})
		}
		part, err := parsePlaceholder(text[at[0]+1 : at[1]-1])
		if err != nil {
			return Template{}, err
		}
		t.parts = append(t.parts, part)
		text = text[at[1]:]
	}
	if n := len(t.placeholders()); n > maxAnswerParts {
		return Template{}, fmt.Errorf("has %d placeholders; the limit is %d", n, maxAnswerParts)
	}
	return t, nil
}

func parsePlaceholder(inner string) (templatePart, error) {
	what, name, _ := strings.Cut(inner, ".")
	switch {
	case inner == "id":
		return templatePart{what: what}, nil
	case what == "query" && name != "":
		return templatePart{what: what, name: name}, nil
	case what == "header" && slices.Contains(unkeptHeaders, textproto.CanonicalMIMEHeaderKey(name)):
		return templatePart{}, fmt.Errorf("%s carries a secret and has no place in an answer", name)
	case what == "header" && headerPattern.MatchString(name):
		return templatePart{what: what, name: textproto.CanonicalMIMEHeaderKey(name)}, nil
	}
	return templatePart{}, fmt.Errorf("%q is not known; the placeholders are {id}, {header.NAME} and {query.NAME}", clip("{"+inner+"}"))
}

func (t Template) placeholders() []templatePart {
	return slices.DeleteFunc(slices.Clone(t.parts), func(p templatePart) bool { return p.what == "" })
}

// Names returns the headers or the query's names that the template has.
func (t Template) Names(what string) (names []string) {
	for _, p := range t.parts {
		if p.what == what {
			names = append(names, p.name)
		}
	}
	return names
}

// Fill puts values in. Values that are longer than 1 KiB are cut, and each is written
// so that it stays a value in an answer of this content type.
func (t Template) Fill(id string, header, query func(name string) string) []byte {
	var b strings.Builder
	for _, p := range t.parts {
		switch p.what {
		case "":
			b.WriteString(p.literal)
		case "id":
			b.WriteString(id)
		case "header":
			b.WriteString(t.written(header(p.name)))
		default:
			b.WriteString(t.written(query(p.name)))
		}
	}
	return []byte(b.String())
}

func (t Template) written(value string) string {
	if len(value) > maxAnswerValue {
		value = value[:maxAnswerValue]
	}
	value = strings.ToValidUTF8(value, "")
	if t.escape == nil {
		return value
	}
	return t.escape(value)
}

// escapeFor is how values are written in a content type. Senders choose the values, and
// an answer that a browser takes for a page must not be theirs to write.
func escapeFor(contentType string) func(string) string {
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
		return html.EscapeString
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return inJSON
	case kind == "text/plain":
		return nil
	default:
		return html.EscapeString
	}
}

// inJSON writes a value as it stands between the quotes of a string.
func inJSON(value string) string {
	quoted, err := json.Marshal(value)
	if err != nil || !utf8.Valid(quoted) { // strings always marshal
		return ""
	}
	return string(quoted[1 : len(quoted)-1])
}
