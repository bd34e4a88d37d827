package pg

import (
	"encoding/binary"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lib/pq/oid"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Array writes PostgreSQL's binary form of an array, element by element. It is a column
// of a batch: every statement that writes gets its rows as such columns. The text form,
// which pq.Array writes, has to be parsed: with it, settling costs the server an eighth
// more.
//
// All elements are of one type, that of the method which writes them. The statement
// declares the same type: bigint[] for numbers of any size.
type Array struct {
	b     []byte // with room for the header, once there is an element
	count int
	nulls bool
	of    oid.Oid // 0 while there are only NULLs
}

// headerSize is that of five numbers: dimensions, whether there are NULLs, the type,
// the count, and the number of the first element.
const headerSize = 20

func (a *Array) next(of oid.Oid, size int) {
	a.room()
	a.of = of
	a.b = binary.BigEndian.AppendUint32(a.b, uint32(size))
}

func (a *Array) room() {
	if a.count == 0 {
		a.b = append(a.b, make([]byte, headerSize)...)
	}
	a.count++
}

// Len returns how many elements were written.
func (a *Array) Len() int { return a.count }

// Param returns the array as a parameter. It is the array's own memory: it holds until
// the next element is written.
func (a *Array) Param() any {
	switch {
	case a.count == 0:
		return "{}" // the text form needs no type
	case a.of == 0:
		return "{NULL" + strings.Repeat(",NULL", a.count-1) + "}"
	}
	nulls := uint32(0)
	if a.nulls {
		nulls = 1
	}
	header := a.b[:0]
	for _, n := range [...]uint32{1, nulls, uint32(a.of), uint32(a.count), 1} {
		header = binary.BigEndian.AppendUint32(header, n)
	}
	return a.b
}

// empty forgets the elements, and keeps memory of up to maxSpare bytes.
func (a *Array) empty() {
	*a = Array{b: a.b[:0]}
	if cap(a.b) > maxSpare {
		a.b = nil
	}
}

// Null writes NULL.
func (a *Array) Null() {
	a.room()
	a.nulls = true
	a.b = append(a.b, 0xff, 0xff, 0xff, 0xff)
}

// IDs returns ids as an array.
func IDs(all []delivery.ID) any {
	var a Array
	for _, id := range all {
		a.ID(id)
	}
	return a.Param()
}

// ID writes an id, for uuid[].
func (a *Array) ID(id delivery.ID) {
	a.next(oid.T_uuid, len(id))
	a.b = append(a.b, id[:]...)
}

// IDOrNull writes NULL for the zero id.
func (a *Array) IDOrNull(id delivery.ID) {
	if id == (delivery.ID{}) {
		a.Null()
		return
	}
	a.ID(id)
}

// Int writes a number, for bigint[].
func (a *Array) Int(n int64) {
	a.next(oid.T_int8, 8)
	a.b = binary.BigEndian.AppendUint64(a.b, uint64(n))
}

// Time writes a time of the years 1 to 9999, for timestamptz[]. A message may say any
// other.
func (a *Array) Time(t time.Time) {
	if t.Before(earliest) {
		t = earliest
	}
	if t.After(latest) {
		t = latest
	}
	a.next(oid.T_timestamptz, 8)
	a.b = binary.BigEndian.AppendUint64(a.b, uint64(t.UnixMicro()-epoch))
}

// Bytes writes bytes, for bytea[], and nil as none.
func (a *Array) Bytes(p []byte) {
	a.next(oid.T_bytea, len(p))
	a.b = append(a.b, p...)
}

var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	// epoch is from when PostgreSQL counts microseconds.
	epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

// BytesOrNull writes NULL for nil. Bytes that are there may be none.
func (a *Array) BytesOrNull(p []byte) {
	if p == nil {
		a.Null()
		return
	}
	a.Bytes(p)
}

// Bool writes true or false, for boolean[].
func (a *Array) Bool(b bool) {
	a.next(oid.T_bool, 1)
	if b {
		a.b = append(a.b, 1)
	} else {
		a.b = append(a.b, 0)
	}
}

// TimeOrNull writes NULL for the zero time.
func (a *Array) TimeOrNull(t time.Time) {
	if t.IsZero() {
		a.Null()
		return
	}
	a.Time(t)
}

// JSON writes a JSON document, for json[].
func (a *Array) JSON(document string) {
	a.next(oid.T_json, len(document))
	a.b = append(a.b, document...)
}

// JSONOrNull writes NULL for the empty string.
func (a *Array) JSONOrNull(document string) {
	if document == "" {
		a.Null()
		return
	}
	a.JSON(document)
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

// Text writes a string, cleaned, for text[].
func (a *Array) Text(s string) {
	s = CleanText(s)
	a.next(oid.T_text, len(s))
	a.b = append(a.b, s...)
}

// TextOrNull writes NULL for the empty string.
func (a *Array) TextOrNull(s string) {
	if s == "" {
		a.Null()
		return
	}
	a.Text(s)
}
