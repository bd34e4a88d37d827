package pg

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Array writes PostgreSQL's text form of an array, element by element. It is a
// column of a batch: every statement that writes gets its rows as such columns.
// pq.Array does the same by reflection, at several times the cost.
type Array struct{ b []byte }

func (a *Array) next() {
	if len(a.b) == 0 {
		a.b = append(a.b, '{')
	} else {
		a.b = append(a.b, ',')
	}
}

// IsEmpty reports whether nothing was written yet.
func (a *Array) IsEmpty() bool { return len(a.b) == 0 }

// String returns the array to be passed as a parameter.
func (a *Array) String() string {
	if len(a.b) == 0 {
		return "{}"
	}
	a.b = append(a.b, '}')
	text := string(a.b)
	a.b = a.b[:len(a.b)-1]
	return text
}

// Null writes NULL.
func (a *Array) Null() {
	a.next()
	a.b = append(a.b, "NULL"...)
}

// IDs returns ids as an array.
func IDs(all []delivery.ID) string {
	var a Array
	for _, id := range all {
		a.ID(id)
	}
	return a.String()
}

// ID writes an id.
func (a *Array) ID(id delivery.ID) {
	a.next()
	a.b = id.Append(a.b)
}

// IDOrNull writes NULL for the zero id.
func (a *Array) IDOrNull(id delivery.ID) {
	if id == (delivery.ID{}) {
		a.Null()
		return
	}
	a.ID(id)
}

// Int writes a number.
func (a *Array) Int(n int64) {
	a.next()
	a.b = strconv.AppendInt(a.b, n, 10)
}

// Time writes a time of the years 1 to 9999: a message may say any other.
func (a *Array) Time(t time.Time) {
	if t.Before(earliest) {
		t = earliest
	}
	if t.After(latest) {
		t = latest
	}
	a.next()
	a.b = t.UTC().AppendFormat(a.b, `"2006-01-02T15:04:05.999999Z"`)
}

// Bytes writes bytes, nil as none.
func (a *Array) Bytes(p []byte) {
	a.next()
	a.b = append(a.b, `"\\x`...)
	a.b = hex.AppendEncode(a.b, p)
	a.b = append(a.b, '"')
}

var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// BytesOrNull writes NULL for nil. Bytes that are there may be none.
func (a *Array) BytesOrNull(p []byte) {
	if p == nil {
		a.Null()
		return
	}
	a.Bytes(p)
}

// Bool writes true or false.
func (a *Array) Bool(b bool) {
	a.next()
	a.b = strconv.AppendBool(a.b, b)
}

// TimeOrNull writes NULL for the zero time.
func (a *Array) TimeOrNull(t time.Time) {
	if t.IsZero() {
		a.Null()
		return
	}
	a.Time(t)
}

// CleanText replaces what PostgreSQL's text cannot hold, NUL and invalid UTF-8.
// Rows of the database are compared with clean text.
func CleanText(s string) string {
	isPlain := true
	for i := 0; i < len(s) && isPlain; i++ {
		isPlain = s[i] != 0 && s[i] < utf8.RuneSelf
	}
	if isPlain {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// NameText is clean text for a column with an index, which holds only so much. The
// names that Coinhook gives are shorter.
func NameText(s string) string {
	if s = CleanText(s); len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "")
}

const maxName = 255 // bytes

// Text writes a string, cleaned.
func (a *Array) Text(s string) {
	a.next()
	a.b = append(a.b, '"')
	s = CleanText(s)
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			break
		}
		a.b = append(a.b, s[:i]...)
		a.b = append(a.b, '\\', s[i])
		s = s[i+1:]
	}
	a.b = append(a.b, s...)
	a.b = append(a.b, '"')
}

// TextOrNull writes NULL for the empty string.
func (a *Array) TextOrNull(s string) {
	if s == "" {
		a.Null()
		return
	}
	a.Text(s)
}
