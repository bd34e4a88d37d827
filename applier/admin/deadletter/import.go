package deadletter

import (
	"context"
	"errors"
	"fmt"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/lines"
	"github.com/coinhook/coinhook/applier/postgres"
)

// Imported is how far an import has come, all of it committed.
type Imported struct {
	// Line is the last one that was dealt with.
	Line                                 int
	Added, Restored, Known, Applied, Bad int
}

// imported is a dead letter of a file, and how long its line is.
type imported struct {
	postgres.FullDeadLetter
	size int
}

type chunk = lines.Chunk[imported]

// Import brings exported dead letters back, chunk by chunk. Appliers and replays may run
// meanwhile. bad is called with each bad line, in the order of the file, and progress
// with how far it is after each chunk. After an error done says what was done. Another
// import of the same file goes on from there.
func (s *Service) Import(ctx context.Context, r *Reader, bad func(BadLine) error, progress func(Imported)) (done Imported, err error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil { // a file names communities itself
		return done, err
	}
	file := lines.Importer[imported]{
		Next: func() (imported, int, error) {
			letter, size, err := r.Next()
			return imported{letter, size}, r.Line(), err
		},
		Most: chunkLetters, IsFull: isFull, Bad: bad,
		Write:     func(ctx context.Context, c *chunk) error { return s.take(ctx, c, &done) },
		Committed: func(line, bad int) { done.Line, done.Bad = line, done.Bad+bad },
		Progress:  func() { progress(done) },
	}
	err = file.Run(ctx)
	return done, err
}

// isFull bounds the bytes of a chunk, and keeps a second line about one delivery for
// the next chunk.
func isFull(c *chunk, next imported) bool {
	bytes := next.size
	for i := range c.Rows {
		if c.Rows[i].ID == next.ID {
			return true
		}
		bytes += c.Rows[i].size
	}
	return len(c.Rows) > 0 && bytes > chunkBytes
}

func (s *Service) take(ctx context.Context, c *chunk, done *Imported) error {
	letters := make([]postgres.FullDeadLetter, len(c.Rows))
	for i := range c.Rows {
		letters[i] = c.Rows[i].FullDeadLetter
	}
	results, err := s.insert(ctx, letters)
	if err != nil {
		return err
	}
	for i, r := range results {
		switch r {
		case postgres.LetterAdded:
			done.Added++
		case postgres.LetterRestored:
			done.Restored++
		case postgres.LetterKnown:
			done.Known++
		case postgres.LetterApplied:
			done.Applied++
		case postgres.LetterDiffers:
			c.Refuse(i, fmt.Sprintf("the database has %s with another webhook or payload", letters[i].ID))
		case postgres.LetterForgotten:
			c.Refuse(i, fmt.Sprintf("the history of the time when %s failed was removed: it may have succeeded since", letters[i].ID))
		default:
			c.Refuse(i, "the database does not take its values")
		}
	}
	return nil
}

// refused is a letter whose values the database does not take, in any transaction.
const refused postgres.LetterImport = ""

// insert imports letters; one that the database refuses is narrowed down by halves,
// and does not keep the others out.
func (s *Service) insert(ctx context.Context, letters []postgres.FullDeadLetter) ([]postgres.LetterImport, error) {
	if len(letters) == 0 {
		return nil, nil
	}
	results, err := s.store.ImportDeadLetters(ctx, letters)
	if _, isData := errors.AsType[*applier.DataError](err); !isData {
		return results, err
	}
	if len(letters) == 1 {
		return []postgres.LetterImport{refused}, nil
	}
	half := len(letters) / 2
	first, err := s.insert(ctx, letters[:half])
	if err != nil {
		return nil, err
	}
	second, err := s.insert(ctx, letters[half:])
	return append(first, second...), err
}
