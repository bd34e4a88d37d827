package webhook

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Path names at most one value of a payload: an RFC 9535 singular query. The zero
// value names the whole payload. A Path is immutable.
type Path struct {
	text     string
	segments []Segment
}

// Segment is one step of a path: the name of an object's member, or the index of
// an array's element, counted from the end where it is negative.
type Segment struct {
	Name    string
	Index   int64
	IsIndex bool
}

// PathError says why a text is not a path.
type PathError struct {
	// Column counts characters from 1.
	Column  int
	Message string
}

func (e *PathError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Message) }

// ParsePath reads a path. A leading $ may be left out. The error is a *PathError.
func ParsePath(text string) (Path, error) {
	p := pathParser{text: text}
	if err := p.path(); err != nil {
		return Path{}, err
	}
	return Path{text: text, segments: p.segments}, nil
}

// Text is the path as it was written.
func (p Path) Text() string {
	if p.text == "" {
		return "$"
	}
	return p.text
}

// Segments are the steps from the root.
func (p Path) Segments() []Segment { return slices.Clone(p.segments) }

// LastName is the name nearest to the value: in order.points[0] it is points.
func (p Path) LastName() string {
	for _, s := range slices.Backward(p.segments) {
		if !s.IsIndex {
			return s.Name
		}
	}
	return ""
}

// Equal reports whether both name the same value of every payload, however they
// are written.
func (p Path) Equal(q Path) bool { return slices.Equal(p.segments, q.segments) }

// String is the normalized form of RFC 9535, section 2.7, in which equal paths
// are equal texts. A negative index, which the RFC leaves out, stays as it is.
func (p Path) String() string {
	b := []byte{'$'}
	for _, s := range p.segments {
		b = append(b, '[')
		if s.IsIndex {
			b = strconv.AppendInt(b, s.Index, 10)
		} else {
			b = appendNormalName(b, s.Name)
		}
		b = append(b, ']')
	}
	return string(b)
}

const (
	escapable   = "\b\t\n\f\r'\\"
	escapeChars = `btnfr'\`
)

func appendNormalName(b []byte, name string) []byte {
	b = append(b, '\'')
	for _, r := range name {
		if i := strings.IndexRune(escapable, r); i >= 0 {
			b = append(b, '\\', escapeChars[i])
		} else if r < ' ' {
			b = fmt.Appendf(b, `\u%04x`, r)
		} else {
			b = append(b, string(r)...)
		}
	}
	return append(b, '\'')
}
