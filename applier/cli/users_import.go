package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/coinhook/coinhook/applier/admin/users"
)

type usersImportCmd struct {
	createFlag
	File      string `arg:"" help:"The CSV file; - is the standard input."`
	MoveNames bool   `help:"Let a line take a name away from another user. Without it such a line is bad."`
	Report    string `placeholder:"FILE" help:"Write all bad lines to this CSV file: line, problem."`
}

// importJSON is what became of a file, as programs read it.
type importJSON struct {
	Added    int       `json:"added"`
	Updated  int       `json:"updated"`
	Known    int       `json:"known"`
	BadLines int       `json:"bad_lines"`
	Bad      []badLine `json:"bad"`
}

// Run takes the good lines over whatever the others are like.
func (c *usersImportCmd) Run(a *app) error {
	src, size, err := a.openFile(c.File)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	reader, err := users.NewReader(src)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	report, err := a.newBadReport(c.File, c.Report)
	if err != nil {
		return err
	}
	bar := progressLine{a: a, size: size}
	bad := func(b users.BadLine) error { return report.add(badLine(b)) }
	importer := db.Users().Importer(a.community(), bad, func(p users.Progress) {
		bar.show(reader.Offset(), "line %d: %s", p.Line, importText(p))
	})
	importer.MoveNames = c.MoveNames
	done, err := importer.Run(a.ctx, reader)
	bar.clear()
	recorded := a.record("import users", "community", a.community(), map[string]any{"added": done.Added, "updated": done.Updated, "known": done.Known, "bad_lines": done.Bad})
	if err = errors.Join(err, report.close(), recorded); err != nil {
		if a.ctx.Err() != nil {
			err = context.Cause(a.ctx)
		}
		return fmt.Errorf("stopped after line %d: %s; the same command goes on from there: %w", done.Line, importText(done), err)
	}
	report.sayMore(done.Bad)
	if a.json() {
		result := importJSON{done.Added, done.Updated, done.Known, done.Bad, report.kept}
		if err := a.printJSON(result); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.Stdout, "%s.\n", importText(done))
	}
	if done.Bad > 0 {
		return fmt.Errorf("%s left out: correct it and import the file again", counted(done.Bad, "line"))
	}
	return nil
}

func importText(p users.Progress) string {
	return fmt.Sprintf("%s added, %d updated, %d unchanged, %s", counted(p.Added, "user"), p.Updated, p.Known, counted(p.Bad, "bad line"))
}
