package users

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier/admin/lines"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Reader reads users from CSV with a header line, one at a time.
type Reader struct {
	csv             *csv.Reader
	src             *limited
	columns         int            // that the first line names
	email, username int            // of them; -1 for none
	external        map[string]int // by kind
}

// maxRecord bounds one line of a file, in bytes, and so what a quote that nobody
// closed can swallow.
const maxRecord = 1 << 20

// ErrRecord: a line is longer than any list of users has.
var ErrRecord = fmt.Errorf("a line has more than %d bytes: is a quote not closed?", maxRecord)

// limited lets this many bytes through before it is filled up again.
type limited struct {
	r    io.Reader
	left int
	read int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, ErrRecord
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	l.read += int64(n)
	return n, err
}

// NewReader reads the header, which names the columns: email, username, and
// external:KIND for each kind of external ids. It refuses others: a column that nobody
// reads would be lost in silence.
func NewReader(r io.Reader) (*Reader, error) {
	src := &limited{r: r, left: maxRecord}
	c := csv.NewReader(src)
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	header, err := c.Read()
	if err := badHeader(header, err); err != nil {
		return nil, err
	}
	reader := &Reader{csv: c, src: src, columns: len(header), email: -1, username: -1, external: map[string]int{}}
	var unknown []string
	for i, name := range header {
		name = strings.TrimSpace(strings.TrimPrefix(name, "\uFEFF")) // spreadsheets put it there
		kind, external := strings.CutPrefix(strings.ToLower(name), "external:")
		switch {
		case external:
			if err := webhook.CheckKind(kind); err != nil {
				return nil, fmt.Errorf("the column %q: %w", name, err)
			}
			reader.external[kind] = i
		case strings.EqualFold(name, "email"):
			reader.email = i
		case strings.EqualFold(name, "username"):
			reader.username = i
		case name != "": // spreadsheets leave empty ones
			unknown = append(unknown, strconv.Quote(name))
		}
	}
	const columns = "email, username and external:KIND, such as external:steam"
	switch {
	case reader.email < 0 && reader.username < 0 && len(reader.external) == 0:
		return nil, errors.New("the first line names none of the columns " + columns + ": put a line before it such as email,username")
	case len(unknown) > 0:
		return nil, fmt.Errorf("the first line names %s, which is not a column of users: remove it, or rename it to one of %s", strings.Join(unknown, ", "), columns)
	}
	return reader, nil
}

// badHeader says what kind of file it is that has no first line of columns.
func badHeader(header []string, err error) error {
	parse, isParse := errors.AsType[*csv.ParseError](err)
	text := strings.Join(header, ",")
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty: it needs a first line that names the columns: email,username")
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return errors.New("the file is UTF-16: save it as CSV in UTF-8")
	case !utf8.ValidString(text), strings.ContainsRune(text, 0):
		return errors.New("the file is not UTF-8 text: export it as CSV in UTF-8")
	case isParse:
		return badCSV(parse)
	case err != nil:
		return err
	case strings.Contains(header[0], ";"):
		return errors.New("the first line is separated by semicolons: save the file with commas")
	}
	return nil
}

// BadLine is a line that names no user who can be imported.
type BadLine = lines.Bad

// Next returns a user and its line; io.EOF after the last. After an error that is
// a *BadLine the next line can be read.
func (r *Reader) Next() (user postgres.NewUser, line int, err error) {
	r.src.left = maxRecord
	record, err := r.csv.Read()
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return postgres.NewUser{}, parse.StartLine, badCSV(parse)
	}
	if err != nil {
		return postgres.NewUser{}, 0, err
	}
	line, _ = r.csv.FieldPos(0)
	for column := r.columns; column < len(record); column++ {
		if cell(record, column) != "" { // spreadsheets leave empty ones
			return postgres.NewUser{}, line, &BadLine{Line: line, Problem: "it has more cells than the first line names: a comma in a cell takes quotes around it"}
		}
	}
	user = postgres.NewUser{Email: cell(record, r.email), Username: cell(record, r.username)}
	for kind, column := range r.external {
		if value := cell(record, column); value != "" {
			if user.External == nil {
				user.External = map[string]string{}
			}
			user.External[kind] = value
		}
	}
	if err := Check(user); err != nil {
		return postgres.NewUser{}, line, &BadLine{Line: line, Problem: err.Error()}
	}
	return user, line, nil
}

func badCSV(parse *csv.ParseError) *BadLine {
	problem := "a quote stands where CSV has none, or is not closed"
	if parse.Line > parse.StartLine {
		problem += fmt.Sprintf("; what follows was not read, up to line %d", parse.Line)
	}
	return &BadLine{Line: parse.StartLine, Problem: problem}
}

// Offset is how many bytes of the file were read.
func (r *Reader) Offset() int64 { return r.src.read }

func cell(record []string, column int) string {
	if column < 0 || column >= len(record) {
		return ""
	}
	return strings.Clone(strings.TrimSpace(record[column]))
}
