package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/coinhook/coinhook/applier/admin/deadletter"
)

type dlqImportCmd struct {
	File   string `arg:"" help:"The file that export wrote; - is the standard input."`
	Report string `placeholder:"FILE" help:"Write all bad lines to this CSV file: line, problem."`
}

// lettersJSON is what became of a file, as programs read it.
type lettersJSON struct {
	Added    int       `json:"added"`
	Restored int       `json:"restored"`
	Known    int       `json:"known"`
	Applied  int       `json:"applied"`
	BadLines int       `json:"bad_lines"`
	Bad      []badLine `json:"bad"`
}

// Run takes the good lines over whatever the others are like.
func (c *dlqImportCmd) Run(a *app) error {
	src, size, err := a.openFile(c.File)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	db, err := a.database()
	if err != nil {
		return err
	}
	report, err := a.newBadReport(c.File, c.Report)
	if err != nil {
		return err
	}
	reader, bar := deadletter.NewReader(src), progressLine{a: a, size: size}
	bad := func(b deadletter.BadLine) error { return report.add(badLine(b)) }
	done, err := db.DeadLetters().Import(a.ctx, reader, bad, func(p deadletter.Imported) {
		bar.show(reader.Offset(), "line %d: %s", p.Line, lettersText(p))
	})
	bar.clear()
	recorded := a.record("import dead letters", "dead letters", "", map[string]any{
		"added": done.Added, "restored": done.Restored, "known": done.Known, "applied": done.Applied, "bad_lines": done.Bad,
	})
	if err = errors.Join(err, report.close(), recorded); err != nil {
		if a.ctx.Err() != nil {
			err = context.Cause(a.ctx)
		}
		return fmt.Errorf("stopped after line %d: %s; the same command goes on from there: %w", done.Line, lettersText(done), err)
	}
	report.sayMore(done.Bad)
	if a.json() {
		result := lettersJSON{done.Added, done.Restored, done.Known, done.Applied, done.Bad, report.kept}
		if err := a.printJSON(result); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.Stdout, "%s.\n", lettersText(done))
	}
	if done.Bad > 0 {
		return fmt.Errorf("%s left out: correct it and import the file again", counted(done.Bad, "line"))
	}
	return nil
}

func lettersText(p deadletter.Imported) string {
	return fmt.Sprintf("%s added, %d restored, %d unchanged, %d have succeeded, %s",
		counted(p.Added, "dead letter"), p.Restored, p.Known, p.Applied, counted(p.Bad, "bad line"))
}
