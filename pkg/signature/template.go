package signature

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// maxTemplate is how long a template may be. Those of senders have under 100 bytes.
const maxTemplate = 1 << 10

// part is one piece of a template: a literal, or what a placeholder stands for.
type part struct {
	what    string // of placeholders; "": literal
	name    string // of a header, canonical, or of a query parameter
	literal string
}

// placeholders are those without a name in them.
var placeholders = []string{"body", "body.sha256", "form", "timestamp", "id", "url", "method", "secret"}

// Template is a parsed text of literals and placeholders.
type Template struct{ parts []part }

// ParseTemplate reads what a sender signs: {body} {timestamp} {id} {url} {method}
// {secret} {header.NAME} {query.NAME}, and literal text between them. {body.sha256}
// is the body's SHA-256 in hex, and {form} the form's names and values, sorted by
// name, without separators. A literal brace is written twice.
func ParseTemplate(text string) (Template, error) {
	if text == "" {
		return Template{}, errors.New("it is empty; most senders sign \"{body}\"")
	}
	if len(text) > maxTemplate {
		return Template{}, fmt.Errorf("it is longer than %d bytes", maxTemplate)
	}
	var t Template
	for text != "" {
		rest, err := t.next(text)
		if err != nil {
			return Template{}, err
		}
		text = rest
	}
	return t, nil
}

// next takes one part from the text's start.
func (t *Template) next(text string) (rest string, err error) {
	if strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "}}") {
		t.addLiteral(text[:1])
		return text[2:], nil
	}
	switch text[0] {
	case '}':
		return "", errors.New("a } has no {; write }} for one that means itself")
	case '{':
		inner, rest, closed := strings.Cut(text[1:], "}")
		if !closed {
			return "", errors.New("a { has no }; write {{ for one that means itself")
		}
		return rest, t.addPlaceholder(inner)
	}
	end := strings.IndexAny(text, "{}")
	if end < 0 {
		end = len(text)
	}
	t.addLiteral(text[:end])
	return text[end:], nil
}

func (t *Template) addLiteral(text string) {
	if n := len(t.parts); n > 0 && t.parts[n-1].what == "" {
		t.parts[n-1].literal += text
		return
	}
	t.parts = append(t.parts, part{literal: text})
}

func (t *Template) addPlaceholder(inner string) error {
	p := part{what: inner}
	if what, name, found := strings.Cut(inner, "."); found && (what == "header" || what == "query") {
		if name == "" {
			return fmt.Errorf("{%s} names nothing", inner)
		}
		p = part{what: what, name: name}
		if what == "header" {
			p.name = textproto.CanonicalMIMEHeaderKey(name)
		}
	} else if !slices.Contains(placeholders, inner) {
		return fmt.Errorf("%.40q is not known; there are {%s}, {header.NAME} and {query.NAME}", "{"+inner+"}", strings.Join(placeholders, "}, {"))
	}
	if slices.Contains(t.parts, p) {
		return fmt.Errorf("{%s} stands there twice", inner)
	}
	t.parts = append(t.parts, p)
	return nil
}

// has reports whether a placeholder is there, whatever it names.
func (t Template) has(what ...string) bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.what != "" && slices.Contains(what, p.what) })
}

// names reports whether the template has the text at a place.
func (t Template) names(p Place) bool {
	return slices.ContainsFunc(t.parts, func(part part) bool {
		return part.what == "header" && part.name == textproto.CanonicalMIMEHeaderKey(p.Header) ||
			part.what == "query" && part.name == p.Query || part.what == "url" && p.Query != ""
	})
}

// String writes the template as it was read.
func (t Template) String() string {
	var b strings.Builder
	escape := strings.NewReplacer("{", "{{", "}", "}}")
	for _, p := range t.parts {
		switch {
		case p.what == "":
			b.WriteString(escape.Replace(p.literal))
		case p.name != "":
			b.WriteString("{" + p.what + "." + p.name + "}")
		default:
			b.WriteString("{" + p.what + "}")
		}
	}
	return b.String()
}
