package webhook

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a definition, in words for an admin.
type Error struct {
	// Line and Column count from 1. They are 0 where the definition was not read
	// from a text.
	Line, Column int
	// Field is the place in the definition, such as mappings[0].value.path. It is
	// empty where the whole text is at fault.
	Field string
	// Message says what is wrong and, where it can, what to write instead.
	Message string
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Errors is everything that is wrong with a definition, one per line of its
// text, never empty. Both *Error and Errors can be had with errors.As.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the errors to errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

type position struct{ line, column int }

// report collects what is wrong and knows where each field stands in the text.
type report struct {
	errors Errors
	places map[string]position
	// unkept are headers that no delivery has: they carry the signature.
	unkept []string
}

// add reports a field. A missing field is reported at the position of the part that lacks
// it.
func (r *report) add(field, format string, args ...any) {
	place, ok := r.places[field]
	for part := field; !ok && part != ""; place, ok = r.places[part] {
		part = parentField(part)
	}
	r.addAt(place, field, format, args...)
}

func (r *report) addAt(place position, field, format string, args ...any) {
	r.errors = append(r.errors, &Error{
		Line: place.line, Column: place.column,
		Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// err is nil, or Errors in the order of the text.
func (r *report) err() error {
	if len(r.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errors, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.errors
}

func parentField(field string) string {
	return field[:max(strings.LastIndexAny(field, ".["), 0)]
}

func childField(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

func itemField(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }
