package postgres

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// array writes PostgreSQL's text form of an array, element by element. It is a
// column of a batch: every statement that writes gets its rows as such columns.
// pq.Array does the same by reflection, at several times the cost.
type array struct{ b []byte }

func (a *array) next() {
	if len(a.b) == 0 {
		a.b = append(a.b, '{')
	} else {
		a.b = append(a.b, ',')
	}
}

// String returns the array to be passed as a parameter.
func (a *array) String() string {
	if len(a.b) == 0 {
		return "{}"
	}
	a.b = append(a.b, '}')
	text := string(a.b)
	a.b = a.b[:len(a.b)-1]
	return text
}

func (a *array) null() {
	a.next()
	a.b = append(a.b, "NULL"...)
}

// idArray returns ids as an array.
func idArray(all []delivery.ID) string {
	var a array
	for _, id := range all {
		a.id(id)
	}
	return a.String()
}

func (a *array) id(id delivery.ID) {
	a.next()
	a.b = id.Append(a.b)
}

// idOrNull writes NULL for the zero id.
func (a *array) idOrNull(id delivery.ID) {
	if id == (delivery.ID{}) {
		a.null()
		return
	}
	a.id(id)
}

func (a *array) int(n int64) {
	a.next()
	a.b = strconv.AppendInt(a.b, n, 10)
}

// time writes a time of the years 1 to 9999: a message may say any other.
func (a *array) time(t time.Time) {
	if t.Before(earliest) {
		t = earliest
	}
	if t.After(latest) {
		t = latest
	}
	a.next()
	a.b = t.UTC().AppendFormat(a.b, `"2006-01-02T15:04:05.999999Z"`)
}

func (a *array) bytes(p []byte) {
	a.next()
	a.b = append(a.b, `"\\x`...)
	a.b = hex.AppendEncode(a.b, p)
	a.b = append(a.b, '"')
}

var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// bytesOrNull writes NULL for nil. Bytes that are there may be none.
func (a *array) bytesOrNull(p []byte) {
	if p == nil {
		a.null()
		return
	}
	a.bytes(p)
}

func (a *array) bool(b bool) {
	a.next()
	a.b = strconv.AppendBool(a.b, b)
}

// timeOrNull writes NULL for the zero time.
func (a *array) timeOrNull(t time.Time) {
	if t.IsZero() {
		a.null()
		return
	}
	a.time(t)
}

// cleanText replaces what PostgreSQL's text cannot hold, NUL and invalid UTF-8.
// Rows of the database are compared with clean text.
func cleanText(s string) string {
	isPlain := true
	for i := 0; i < len(s) && isPlain; i++ {
		isPlain = s[i] != 0 && s[i] < utf8.RuneSelf
	}
	if isPlain {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// nameText is clean text for a column with an index, which holds only so much. The
// names that Coinhook gives are shorter.
func nameText(s string) string {
	if s = cleanText(s); len(s) <= maxName {
		return s
	}
	return strings.ToValidUTF8(s[:maxName], "")
}

const maxName = 255 // bytes

// text writes a string, cleaned.
func (a *array) text(s string) {
	a.next()
	a.b = append(a.b, '"')
	s = cleanText(s)
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

// textOrNull writes NULL for the empty string.
func (a *array) textOrNull(s string) {
	if s == "" {
		a.null()
		return
	}
	a.text(s)
}
