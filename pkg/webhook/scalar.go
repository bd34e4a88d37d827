package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// ScalarKind is the JSON kind of a Scalar.
type ScalarKind uint8

const (
	NoScalar ScalarKind = iota // the zero value: absent
	NullScalar
	BoolScalar
	NumberScalar
	StringScalar
)

// Scalar is a JSON value that is neither object nor array. Numbers keep the text
// they were written in. The zero value means absent, which is not null.
type Scalar struct {
	kind ScalarKind
	text string // a string's value, otherwise the JSON text
}

// Null is the JSON value null.
func Null() Scalar { return Scalar{NullScalar, "null"} }

// Bool is true or false.
func Bool(b bool) Scalar { return Scalar{BoolScalar, strconv.FormatBool(b)} }

// String is a string.
func String(s string) Scalar { return Scalar{StringScalar, s} }

// NumberText is a number; text must be in JSON's grammar.
func NumberText(text string) (Scalar, error) {
	if _, ok := ParseNumber(text); !ok {
		return Scalar{}, fmt.Errorf("%q is not a JSON number; write it as in 12, -0.5 or 1.5e2", clip(text))
	}
	return Scalar{NumberScalar, text}, nil
}

// Kind is the JSON kind.
func (s Scalar) Kind() ScalarKind { return s.kind }

// IsZero reports whether s is absent.
func (s Scalar) IsZero() bool { return s.kind == NoScalar }

// Text is a string's value, a number as it was written, or true, false, null:
// what the value of a header is compared with.
func (s Scalar) Text() string { return s.text }

// Equal compares strings exactly and numbers by their exact value: 1, 1.0 and
// 1e0 are equal. Values of different kinds never are.
func (s Scalar) Equal(t Scalar) bool {
	if s.kind != t.kind {
		return false
	}
	if s.text == t.text || s.kind != NumberScalar {
		return s.text == t.text
	}
	m, _ := ParseNumber(s.text)
	n, _ := ParseNumber(t.text)
	// Two exponents of twenty digits were cut to the same limit: only their text,
	// which differs, can tell them apart.
	return m == n && m.exact()
}

// MarshalJSON writes a number as it was read. An absent scalar is null.
func (s Scalar) MarshalJSON() ([]byte, error) {
	switch s.kind {
	case NoScalar:
		return []byte("null"), nil
	case StringScalar:
		return json.Marshal(s.text)
	default:
		return []byte(s.text), nil
	}
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (s *Scalar) UnmarshalJSON(src []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(src))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return fmt.Errorf("read a scalar: %w", err)
	}
	switch v := value.(type) {
	case nil:
		*s = Null()
	case bool:
		*s = Bool(v)
	case json.Number:
		*s = Scalar{NumberScalar, v.String()}
	case string:
		*s = String(v)
	default:
		return errors.New("want a string, a number, true, false or null")
	}
	return nil
}

// clip shortens a text for an error.
func clip(text string) string {
	const limit = 60
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}
