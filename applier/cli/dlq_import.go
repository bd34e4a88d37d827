package cli

import (
	"fmt"

	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/applier/admin/lines"
)

type dlqImportCmd struct {
	File   string `arg:"" help:"The file that export wrote; - is the standard input."`
	Report string `placeholder:"FILE" help:"Write all bad lines to this CSV file: line, problem."`
}

// lettersJSON is what became of a file, as programs read it.
type lettersJSON struct {
	Added    int         `json:"added"`
	Restored int         `json:"restored"`
	Known    int         `json:"known"`
	Applied  int         `json:"applied"`
	BadLines int         `json:"bad_lines"`
	Bad      []lines.Bad `json:"bad"`
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
	done, err := db.DeadLetters().Import(a.ctx, reader, report.add, func(p deadletter.Imported) {
		bar.show(reader.Offset(), "line %d: %s", p.Line, lettersText(p))
	})
	bar.clear()
	if err == nil && done.Line == 0 {
		a.say("%s is empty: `coinhook dlq export` writes a line for each dead letter.", c.File)
	}
	recorded := a.record("import dead letters", "dead letters", "", map[string]any{
		"added": done.Added, "restored": done.Restored, "known": done.Known, "applied": done.Applied, "bad_lines": done.Bad,
	})
	result := lettersJSON{done.Added, done.Restored, done.Known, done.Applied, done.Bad, report.kept}
	return report.end(done.Line, done.Bad, lettersText(done), result, err, recorded)
}

func lettersText(p deadletter.Imported) string {
	return fmt.Sprintf("%s added, %d restored, %d unchanged, %d have succeeded, %s",
		counted(p.Added, "dead letter"), p.Restored, p.Known, p.Applied, counted(p.Bad, "bad line"))
}
