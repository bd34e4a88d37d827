package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/coinhook/coinhook/applier/users"
)

type usersImportCmd struct {
	File   string `arg:"" help:"The CSV file; - is the standard input."`
	Report string `placeholder:"FILE" help:"Write all bad lines to this CSV file: line, problem."`
}

const (
	// saidLines is how many bad lines are shown, keptLines how many are in the
	// JSON; the report has all.
	saidLines = 20
	keptLines = 1000
)

// importJSON is what became of a file, as programs read it.
type importJSON struct {
	Added    int             `json:"added"`
	Updated  int             `json:"updated"`
	Known    int             `json:"known"`
	BadLines int             `json:"bad_lines"`
	Bad      []users.BadLine `json:"bad"`
}

// Run takes the good lines over whatever the others are like.
func (c *usersImportCmd) Run(a *app) error {
	src, size, err := a.openFile(c.File)
	if err != nil {
		return err
	}
	defer src.Close() //nolint:errcheck // it was only read
	reader, err := users.NewReader(src)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	store, err := a.database()
	if err != nil {
		return err
	}
	report, err := a.newBadReport(c.File, c.Report)
	if err != nil {
		return err
	}
	bar := progressLine{a: a, size: size}
	importer := users.Importer{Store: store, Community: a.community(), Bad: report.add, Progress: func(p users.Progress) {
		bar.show(p, reader.Offset())
	}}
	done, err := importer.Run(a.ctx, reader)
	bar.clear()
	if err = errors.Join(err, report.close()); err != nil {
		if a.ctx.Err() != nil {
			err = context.Cause(a.ctx)
		}
		return fmt.Errorf("stopped after line %d: %s; the same command goes on from there: %w", done.Line, importText(done), err)
	}
	if more := done.Bad - saidLines; more > 0 {
		a.say("… and %d more bad lines; --report FILE writes all of them.", more)
	}
	if a.json() {
		result := importJSON{done.Added, done.Updated, done.Known, done.Bad, report.kept}
		if err := a.printJSON(result); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.Stdout, "%s.\n", importText(done))
	}
	if done.Bad > 0 {
		return fmt.Errorf("%d lines were left out: mend them and import the file again", done.Bad)
	}
	return nil
}

func importText(p users.Progress) string {
	return fmt.Sprintf("%d users added, %d updated, %d were there, %d lines are bad", p.Added, p.Updated, p.Known, p.Bad)
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

// badReport says which lines are bad: the first ones on the terminal, all in a
// file.
type badReport struct {
	a      *app
	source string
	said   int
	kept   []users.BadLine

	file *os.File // nil for none
	buf  *bufio.Writer
	csv  *csv.Writer
}

func (a *app) newBadReport(source, name string) (*badReport, error) {
	r := &badReport{a: a, source: source, kept: []users.BadLine{}}
	if name == "" {
		return r, nil
	}
	file, err := os.Create(a.path(name))
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	r.file, r.buf = file, bufio.NewWriter(file)
	r.csv = csv.NewWriter(r.buf)
	return r, r.csv.Write([]string{"line", "problem"})
}

func (r *badReport) add(b users.BadLine) error {
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

// progressLine is one line on a terminal that is written again and again.
type progressLine struct {
	a     *app
	size  int64 // of the file, 0 where it is not known
	shown time.Time
}

// progressEvery is as often as a person can read it.
const progressEvery = 200 * time.Millisecond

func (l *progressLine) show(p users.Progress, offset int64) {
	percent := ""
	if l.size > 0 {
		percent = fmt.Sprintf("%3d %%  ", min(offset*100/l.size, 100))
	}
	l.write(fmt.Sprintf("%sline %d: %s", percent, p.Line, importText(p)))
}

// write shows a text unless one was shown a moment ago.
func (l *progressLine) write(text string) {
	if !l.a.Terminal || time.Since(l.shown) < progressEvery {
		return
	}
	l.shown = time.Now()
	fmt.Fprint(l.a.Stderr, "\r\x1b[K", text)
}

func (l *progressLine) clear() {
	if l.a.Terminal {
		fmt.Fprint(l.a.Stderr, "\r\x1b[K")
	}
}
