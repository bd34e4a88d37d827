package cli

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

const (
	// saidLines is how many bad lines are shown, keptLines how many are in the
	// JSON; the report has all.
	saidLines = 20
	keptLines = 1000
)

// badLine is a line of an imported file that was left out.
type badLine struct {
	Line    int    `json:"line"`
	Problem string `json:"problem"`
}

// badReport says which lines are bad: the first ones on the terminal, all in a
// file.
type badReport struct {
	a      *app
	source string
	said   int
	kept   []badLine

	file *os.File // nil for none
	buf  *bufio.Writer
	csv  *csv.Writer
}

func (a *app) newBadReport(source, name string) (*badReport, error) {
	r := &badReport{a: a, source: source, kept: []badLine{}}
	if name == "" {
		return r, nil
	}
	// Lines of the file hold emails.
	file, err := os.OpenFile(a.path(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	r.file, r.buf = file, bufio.NewWriter(file)
	r.csv = csv.NewWriter(r.buf)
	return r, r.csv.Write([]string{"line", "problem"})
}

func (r *badReport) add(b badLine) error {
	if r.said < saidLines {
		r.said++
		(&progressLine{a: r.a}).clear()
		r.a.say("%s: line %d: %s", r.source, b.Line, b.Problem)
	}
	if len(r.kept) < keptLines {
		r.kept = append(r.kept, b)
	}
	if r.csv == nil {
		return nil
	}
	return r.csv.Write([]string{strconv.Itoa(b.Line), b.Problem})
}

func (r *badReport) close() error {
	if r.file == nil {
		return nil
	}
	r.csv.Flush()
	return errors.Join(r.csv.Error(), r.buf.Flush(), r.file.Close())
}

// sayMore says how many bad lines were not shown.
func (r *badReport) sayMore(bad int) {
	if more := bad - saidLines; more > 0 {
		r.a.say("… and %d more bad lines; --report FILE writes all of them.", more)
	}
}

// openFile opens a file named on the command line; "-" is the standard input.
// size is 0 where it is not known.
func (a *app) openFile(name string) (f io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(a.Stdin), 0, nil
	}
	file, err := os.Open(a.path(name))
	if err != nil {
		return nil, 0, err
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return file, size, nil
}
