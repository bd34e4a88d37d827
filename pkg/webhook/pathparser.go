package webhook

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxPathIndex is the largest integer of I-JSON, which bounds an index in RFC 9535.
const maxPathIndex = 1<<53 - 1

// pathParser reads the grammar of RFC 9535, section 2.3.5.1, with the blanks that
// section 2.1 allows. pos is a byte offset into text.
type pathParser struct {
	text     string
	pos      int
	segments []Segment
}

func (p *pathParser) fail(at int, format string, args ...any) error {
	return &PathError{
		Column:  utf8.RuneCountInString(p.text[:at]) + 1,
		Message: fmt.Sprintf(format, args...),
	}
}

func (p *pathParser) path() error {
	if p.text == "" {
		return p.fail(0, "the path is empty; write $ for the whole payload")
	}
	if !utf8.ValidString(p.text) {
		return p.fail(validPrefix(p.text), "the path is not UTF-8")
	}
	if err := p.start(); err != nil {
		return err
	}
	for {
		blanks := p.pos
		p.skipBlanks()
		if p.pos == len(p.text) {
			if blanks != p.pos {
				return p.fail(blanks, "a path does not end with a space")
			}
			return nil
		}
		if err := p.segment(); err != nil {
			return err
		}
	}
}

// start reads $, or, where that is left out, a first name without its dot. A
// first bracket is left to segment.
func (p *pathParser) start() error {
	switch r, _ := p.peek(); {
	case r == '$':
		p.pos++
		return nil
	case r == '[':
		return nil
	case isNameFirst(r):
		return p.shorthand()
	case r == '@':
		return p.fail(p.pos, "@ is not supported; a path starts at the whole payload, written $")
	default:
		return p.fail(p.pos, "a path starts with $, a name or [")
	}
}

func (p *pathParser) segment() error {
	switch r, _ := p.peek(); r {
	case '.':
		p.pos++
		return p.afterDot()
	case '[':
		p.pos++
		return p.bracket()
	default:
		return p.unexpected()
	}
}

func (p *pathParser) afterDot() error {
	r, _ := p.peek()
	switch {
	case isNameFirst(r):
		return p.shorthand()
	case r == '.':
		return p.fail(p.pos-1, "descendants (..) are not supported; a path names one value")
	case r == '*':
		return p.fail(p.pos, "wildcards (*) are not supported; a path names one value")
	case r == '[':
		return p.fail(p.pos, "there is no dot before [")
	case '0' <= r && r <= '9':
		return p.fail(p.pos, "a name after a dot does not start with a digit; write [0] for an array's element or ['0'] for a name")
	default:
		return p.fail(p.pos, "a name follows a dot; write ['…'] for one with other characters than letters, digits and _")
	}
}

// unexpected says what is wrong where a segment ought to start.
func (p *pathParser) unexpected() error {
	r, _ := p.peek()
	if r == '(' {
		return p.fail(p.pos, "functions are not supported; a path names one value")
	}
	return p.fail(p.pos, "%q cannot stand here; a name with other characters than letters, digits and _ is written ['…']", r)
}

func (p *pathParser) shorthand() error {
	start := p.pos
	for {
		r, size := p.peek()
		if !isNameFirst(r) && (r < '0' || r > '9') {
			break
		}
		p.pos += size
	}
	p.segments = append(p.segments, Segment{Name: p.text[start:p.pos]})
	return nil
}

// bracket reads what follows an opening bracket, and the closing one.
func (p *pathParser) bracket() error {
	p.skipBlanks()
	segment, err := p.selector()
	if err != nil {
		return err
	}
	p.skipBlanks()
	switch r, _ := p.peek(); r {
	case ']':
		p.pos++
		p.segments = append(p.segments, segment)
		return nil
	case ',':
		return p.fail(p.pos, "unions (,) are not supported; a path names one value")
	case ':':
		return p.fail(p.pos, "slices (:) are not supported; a path names one value")
	default:
		return p.fail(p.pos, "] is missing")
	}
}

func (p *pathParser) selector() (Segment, error) {
	switch r, _ := p.peek(); {
	case r == '\'' || r == '"':
		name, err := p.quoted()
		return Segment{Name: name}, err
	case r == '-' || '0' <= r && r <= '9':
		index, err := p.index()
		return Segment{Index: index, IsIndex: true}, err
	case r == '*':
		return Segment{}, p.fail(p.pos, "wildcards (*) are not supported; a path names one value")
	case r == '?':
		return Segment{}, p.fail(p.pos, "filters (?) are not supported; a path names one value")
	case r == ':':
		return Segment{}, p.fail(p.pos, "slices (:) are not supported; a path names one value")
	default:
		return Segment{}, p.fail(p.pos, "an index or a name in quotes stands between brackets")
	}
}

func (p *pathParser) index() (int64, error) {
	start := p.pos
	if p.text[p.pos] == '-' {
		p.pos++
	}
	digits, _ := leadingDigits(p.text[p.pos:])
	p.pos += len(digits)
	text := p.text[start:p.pos]
	switch {
	case digits == "":
		return 0, p.fail(p.pos, "a digit follows -")
	case text == "-0":
		return 0, p.fail(start, "-0 is not an index; write 0 for the first element or -1 for the last")
	case len(digits) > 1 && digits[0] == '0':
		return 0, p.fail(start, "an index has no leading zeros")
	}
	index, err := strconv.ParseInt(text, 10, 64)
	if err != nil || index > maxPathIndex || index < -maxPathIndex {
		return 0, p.fail(start, "an index is between -%d and %[1]d", int64(maxPathIndex))
	}
	return index, nil
}

func (p *pathParser) skipBlanks() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\n\r", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// peek gives the next character, or -1 at the end.
func (p *pathParser) peek() (rune, int) {
	if p.pos == len(p.text) {
		return -1, 0
	}
	return utf8.DecodeRuneInString(p.text[p.pos:])
}

func isNameFirst(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_' || r >= utf8.RuneSelf
}

// validPrefix is the length of the part before the first byte that is not UTF-8.
func validPrefix(s string) int {
	for i, r := range s {
		if r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			return i
		}
	}
	return len(s)
}
