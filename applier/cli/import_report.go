package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/coinhook/coinhook/applier/admin/lines"
)

const (
	// saidLines is how many bad lines are shown, keptLines how many are in the
	// JSON; the report has all.
	saidLines = 20
	keptLines = 1000
)

// badReport says which lines are bad: the first ones on the terminal, all in a
// file.
type badReport struct {
	a      *app
	source string
	said   int
	kept   []lines.Bad

	file *os.File // nil for none
	csv  *csv.Writer
}

func (a *app) newBadReport(source, name string) (*badReport, error) {
	r := &badReport{a: a, source: source, kept: []lines.Bad{}}
	if name == "" {
		return r, nil
	}
	// Lines of the file hold emails.
	file, err := os.OpenFile(a.path(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	r.file, r.csv = file, csv.NewWriter(file)
	return r, r.csv.Write([]string{"line", "problem"})
}

func (r *badReport) add(b lines.Bad) error {
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
	return errors.Join(r.csv.Error(), r.file.Close())
}

// end says what became of the file: text, or the result to programs. Its last line is
// the last one that was imported, and so many lines are bad.
func (r *badReport) end(last, bad int, text string, result any, err, recorded error) error {
	a := r.a
	if err = errors.Join(err, r.close(), recorded); err != nil {
		return fmt.Errorf("stopped after line %d: %s; run the same command again to continue: %w", last, text, a.causeOf(err))
	}
	if more := bad - saidLines; more > 0 {
		a.say("… and %d more bad lines; --report FILE writes all of them.", more)
	}
	if err := a.done(result, "%s.", text); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%s left out: correct it and import the file again", counted(bad, "line"))
	}
	return nil
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
	info, err := file.Stat()
	switch {
	case err == nil && info.IsDir():
		file.Close() // it cannot be read
		return nil, 0, fmt.Errorf("%s is a folder: name a file", name)
	case err == nil && info.Mode().IsRegular():
		size = info.Size()
	}
	return file, size, nil
}
