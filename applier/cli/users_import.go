package cli

import (
	"fmt"

	"github.com/coinhook/coinhook/applier/admin/lines"
	"github.com/coinhook/coinhook/applier/admin/users"
)

type usersImportCmd struct {
	createFlag
	File      string `arg:"" help:"The CSV file; - is the standard input."`
	MoveNames bool   `help:"Let a line take a name from another user. Without it such a line is bad."`
	Report    string `placeholder:"FILE" help:"Write all bad lines to this CSV file: line, problem."`
}

// importJSON is what became of a file, as programs read it.
type importJSON struct {
	Added    int         `json:"added"`
	Updated  int         `json:"updated"`
	Known    int         `json:"known"`
	BadLines int         `json:"bad_lines"`
	Bad      []lines.Bad `json:"bad"`
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
	importer := db.Users().Importer(a.community(), report.add, func(p users.Progress) {
		bar.show(reader.Offset(), "line %d: %s", p.Line, importText(p))
	})
	importer.MoveNames = c.MoveNames
	done, err := importer.Run(a.ctx, reader)
	bar.clear()
	recorded := a.record("import users", "community", a.community(), map[string]any{"added": done.Added, "updated": done.Updated, "known": done.Known, "bad_lines": done.Bad})
	result := importJSON{done.Added, done.Updated, done.Known, done.Bad, report.kept}
	return report.end(done.Line, done.Bad, importText(done), result, err, recorded)
}

func importText(p users.Progress) string {
	return fmt.Sprintf("%s added, %d updated, %d unchanged, %s", counted(p.Added, "user"), p.Updated, p.Known, counted(p.Bad, "bad line"))
}
