package users

import (
	"context"
	"maps"
	"slices"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/lines"
	"github.com/coinhook/coinhook/applier/postgres"
)

// Chunk is how many lines one transaction takes over: enough to make its commit
// cheap, few enough for the appliers not to notice.
const Chunk = 2000

// Store takes users over.
type Store interface {
	ImportUsers(ctx context.Context, community string, users []postgres.NewUser) ([]postgres.Imported, error)
	ImportMovingNames(ctx context.Context, community string, users []postgres.NewUser) ([]postgres.Imported, error)
}

// Progress is how far an import has come, all of it committed.
type Progress struct {
	// Line is the last one that was dealt with.
	Line                       int
	Added, Updated, Known, Bad int
}

// Importer takes a file over, chunk by chunk. It keeps no more than a chunk in
// memory.
type Importer struct {
	Store     Store
	Community string
	// MoveNames lets lines take names away from other users.
	MoveNames bool
	// Bad is called with each bad line, in the order of the file.
	Bad func(BadLine) error
	// Progress is called after each chunk.
	Progress func(Progress)
}

// Run imports all lines. After an error the progress says what was done. Another run
// on the same file goes on from there, because known users stay as they are.
func (im *Importer) Run(ctx context.Context, r *Reader) (done Progress, err error) {
	if err := allow(ctx, im.Community, admin.Editor); err != nil {
		return done, err
	}
	file := lines.Importer[postgres.NewUser]{
		Next: r.Next, Most: Chunk, Bad: im.Bad,
		Write:     func(ctx context.Context, c *lines.Chunk[postgres.NewUser]) error { return im.write(ctx, c, &done) },
		Committed: func(line, bad int) { done.Line, done.Bad = line, done.Bad+bad },
		Progress:  func() { im.Progress(done) },
	}
	err = file.Run(ctx)
	return done, err
}

func (im *Importer) write(ctx context.Context, c *lines.Chunk[postgres.NewUser], done *Progress) error {
	take := im.Store.ImportUsers
	if im.MoveNames {
		take = im.Store.ImportMovingNames
	}
	results, err := take(ctx, im.Community, supersede(c.Rows))
	if err != nil {
		return err
	}
	for i, r := range results {
		switch r.Import {
		case postgres.UserAdded:
			done.Added++
		case postgres.UserUpdated:
			done.Updated++
		case postgres.UserKnown:
			done.Known++
		default:
			c.Refuse(i, im.clash(r))
		}
	}
	return nil
}

func (im *Importer) clash(r postgres.Imported) string {
	taken := postgres.NameTaken{By: r.Name, Text: r.Text, Of: r.Of, Community: im.Community}
	if r.Last {
		return taken.Error() + ", who would have no name left"
	}
	return taken.Error() + ", who has other names: --move-names takes it away from them"
}

// supersede has the last line of a chunk about a user count: the names that earlier ones
// give the user are left out where a later one gives others. So a second import of the
// same file updates nothing.
func supersede(rows []postgres.NewUser) []postgres.NewUser {
	all := slices.Clone(rows)
	later := map[string]map[string]bool{} // by who: the kinds of names that later lines give
	for i, u := range slices.Backward(all) {
		who, names := identity(u)
		given := later[who]
		if given == nil {
			given = map[string]bool{}
			later[who] = given
		}
		kept := postgres.NewUser{Email: u.Email, Username: u.Username, External: maps.Clone(u.External)}
		for _, by := range names {
			if !given[by] {
				given[by] = true
				continue
			}
			if by == "username" {
				kept.Username = ""
			}
			delete(kept.External, by)
		}
		all[i] = kept
	}
	return all
}

// identity is the name that says who a line is about, and the kinds of its others: an
// external id by its kind.
func identity(u postgres.NewUser) (who string, others []string) {
	kinds := slices.Sorted(maps.Keys(u.External))
	switch {
	case u.Email != "":
		who = "email " + applier.FoldKey(u.Email)
		if u.Username != "" {
			others = append(others, "username")
		}
	case u.Username != "":
		who = "username " + applier.FoldKey(u.Username)
	default:
		who, kinds = kinds[0]+" "+u.External[kinds[0]], kinds[1:]
	}
	return who, append(others, kinds...)
}
