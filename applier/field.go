package applier

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// FieldType says what values a custom field takes.
type FieldType string

const (
	Text    FieldType = "text"
	Number  FieldType = "number"  // in JSON's grammar
	Boolean FieldType = "boolean" // true or false
	Date    FieldType = "date"    // an RFC 3339 date or date-time
	Select  FieldType = "select"  // one of the options
)

// FieldTypes returns all of them.
func FieldTypes() []FieldType { return []FieldType{Text, Number, Boolean, Date, Select} }

// Field is a custom field of a community.
type Field struct {
	Name string
	Type FieldType
	// Options are what a select takes; no other type has any.
	Options []string
	// Revision changes with every change of the definition.
	Revision int64
}

// Check says why a text is not a value of the field, as the end of a sentence
// that begins with the kind of value. It never quotes the text.
func (f Field) Check(text string) error {
	if n := utf8.RuneCountInString(text); n > webhook.MaxFieldLength {
		return fmt.Errorf("has %d characters; a custom field keeps at most %d", n, webhook.MaxFieldLength)
	}
	// PostgreSQL's text cannot hold it, and nothing is changed in silence.
	if strings.ContainsRune(text, 0) {
		return fmt.Errorf("holds the character U+0000, which cannot be kept")
	}
	ok, want := true, ""
	switch f.Type {
	case Text:
	case Number:
		_, ok = webhook.ParseNumber(text)
		want = "a number as JSON writes it, such as 12, -0.5 or 1.5e2"
	case Boolean:
		ok, want = text == "true" || text == "false", "true or false"
	case Date:
		ok, want = isDate(text), "a date or date-time of RFC 3339, such as 2026-11-23 or 2026-11-23T15:04:05Z"
	case Select:
		ok = slices.Contains(f.Options, text)
		want = fmt.Sprintf("one of its %d options", len(f.Options))
	default:
		return fmt.Errorf("cannot be checked: %s has the unknown type %s", f.Name, f.Type)
	}
	if !ok {
		return fmt.Errorf("does not fit %s, which takes %s", f.Name, want)
	}
	return nil
}

// datePattern is full-date, and date-time, of RFC 3339, section 5.6. Go's own
// reader takes more than that. A minute may have a leap second.
var datePattern = regexp.MustCompile(`^\d{4}-\d\d-\d\d([Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d))?$`)

func isDate(text string) bool {
	if !datePattern.MatchString(text) {
		return false
	}
	_, err := time.Parse(time.DateOnly, text[:len(time.DateOnly)]) // that month has that day
	return err == nil
}
