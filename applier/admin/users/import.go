package users

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/coinhook/coinhook/applier"
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
	// Bad is told each bad line, in the order of the file.
	Bad func(BadLine) error
	// Progress is told after each chunk.
	Progress func(Progress)
}

// Run imports all lines. After an error the progress says what was done; to run
// it again on the same file goes on from there, for what is known is left alone.
func (im *Importer) Run(ctx context.Context, r *Reader) (Progress, error) {
	var done Progress
	var c chunk
	for {
		user, line, err := r.Next()
		bad, isBad := errors.AsType[*BadLine](err)
		switch {
		case errors.Is(err, io.EOF):
			return im.flush(ctx, done, &c)
		case isBad:
			c.bad = append(c.bad, *bad)
		case err != nil:
			done, flushErr := im.flush(ctx, done, &c)
			return done, errors.Join(flushErr, fmt.Errorf("after line %d: %w", done.Line, err))
		default:
			c.users, c.lines = append(c.users, user), append(c.lines, line)
		}
		c.last = line
		if len(c.users)+len(c.bad) < Chunk {
			continue
		}
		if done, err = im.flush(ctx, done, &c); err != nil {
			return done, err
		}
	}
}

type chunk struct {
	users []postgres.NewUser
	lines []int // of the users
	bad   []BadLine
	last  int
}

// flush commits a chunk and empties it.
func (im *Importer) flush(ctx context.Context, done Progress, c *chunk) (Progress, error) {
	if c.last == 0 {
		return done, nil
	}
	var results []postgres.Imported
	if len(c.users) > 0 {
		var err error
		take := im.Store.ImportUsers
		if im.MoveNames {
			take = im.Store.ImportMovingNames
		}
		if results, err = take(ctx, im.Community, supersede(c.users)); err != nil {
			return done, err
		}
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
			c.bad = append(c.bad, BadLine{c.lines[i], clash(r)})
		}
	}
	slices.SortStableFunc(c.bad, func(a, b BadLine) int { return cmp.Compare(a.Line, b.Line) })
	done.Line, done.Bad = c.last, done.Bad+len(c.bad)
	for _, b := range c.bad {
		if err := im.Bad(b); err != nil {
			return done, err
		}
	}
	im.Progress(done)
	*c = chunk{users: c.users[:0], lines: c.lines[:0], bad: c.bad[:0]}
	return done, nil
}

func clash(r postgres.Imported) string {
	if r.Last {
		return fmt.Sprintf("the %s is that of the user %s, who would have no name left", r.Name, r.Of)
	}
	return fmt.Sprintf("the %s is that of the user %s, who has other names: --move-names takes it away from them", r.Name, r.Of)
}

// supersede has the last line of a chunk about a user count: the names that earlier ones
// give the user are left out where a later one gives others. So a second import of the
// same file updates nothing.
func supersede(lines []postgres.NewUser) []postgres.NewUser {
	all := slices.Clone(lines)
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
