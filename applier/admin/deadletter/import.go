package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Imported is how far an import has come, all of it committed.
type Imported struct {
	// Line is the last one that was dealt with.
	Line                                 int
	Added, Restored, Known, Applied, Bad int
}

// Importer brings exported dead letters back, chunk by chunk. Appliers and replays
// may run meanwhile.
type Importer struct {
	Store *postgres.Store
	// Bad is told each bad line, in the order of the file.
	Bad func(BadLine) error
	// Progress is told after each chunk.
	Progress func(Imported)
}

// importChunk is what one transaction writes.
type importChunk struct {
	letters []postgres.FullDeadLetter
	lines   []int // of the letters
	ids     map[delivery.ID]bool
	bytes   int
	bad     []BadLine
	last    int
}

// Run imports all good lines. After an error the progress says what was done; to
// run it again on the same file goes on from there.
func (im *Importer) Run(ctx context.Context, r *Reader) (Imported, error) {
	var done Imported
	c := &importChunk{ids: map[delivery.ID]bool{}}
	for {
		letter, size, err := r.Next()
		bad, isBad := errors.AsType[*BadLine](err)
		switch {
		case errors.Is(err, io.EOF):
			return im.flush(ctx, done, c)
		case isBad:
			c.bad = append(c.bad, *bad)
		case err != nil:
			done, flushErr := im.flush(ctx, done, c)
			return done, errors.Join(flushErr, fmt.Errorf("after line %d: %w", done.Line, err))
		default:
			if c.ids[letter.ID] || len(c.letters) > 0 && c.bytes+size > chunkBytes {
				if done, err = im.flush(ctx, done, c); err != nil {
					return done, err
				}
			}
			c.add(letter, r.Line(), size)
		}
		c.last = r.Line()
		if len(c.letters)+len(c.bad) < chunkLetters {
			continue
		}
		if done, err = im.flush(ctx, done, c); err != nil {
			return done, err
		}
	}
}

func (c *importChunk) add(letter postgres.FullDeadLetter, line, size int) {
	c.letters, c.lines = append(c.letters, letter), append(c.lines, line)
	c.ids[letter.ID] = true
	c.bytes += size
}

// flush commits a chunk and empties it.
func (im *Importer) flush(ctx context.Context, done Imported, c *importChunk) (Imported, error) {
	if c.last == 0 {
		return done, nil
	}
	results, err := im.write(ctx, c.letters)
	if err != nil {
		return done, err
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
			c.bad = append(c.bad, BadLine{c.lines[i], fmt.Sprintf("the database has %s with another webhook or payload", c.letters[i].ID)})
		case postgres.LetterForgotten:
			c.bad = append(c.bad, BadLine{c.lines[i], fmt.Sprintf("the history of the time when %s failed was removed: it may have succeeded since", c.letters[i].ID)})
		default:
			c.bad = append(c.bad, BadLine{c.lines[i], "the database does not take its values"})
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
	*c = importChunk{letters: c.letters[:0], lines: c.lines[:0], bad: c.bad[:0], ids: map[delivery.ID]bool{}}
	return done, nil
}

// refused: the database does not take the values, whoever tries.
const refused postgres.LetterImport = ""

// write imports letters; one that the database refuses is narrowed down by halves,
// and does not keep the others out.
func (im *Importer) write(ctx context.Context, letters []postgres.FullDeadLetter) ([]postgres.LetterImport, error) {
	if len(letters) == 0 {
		return nil, nil
	}
	results, err := im.Store.ImportDeadLetters(ctx, letters)
	if _, isData := errors.AsType[*applier.DataError](err); !isData {
		return results, err
	}
	if len(letters) == 1 {
		return []postgres.LetterImport{refused}, nil
	}
	half := len(letters) / 2
	first, err := im.write(ctx, letters[:half])
	if err != nil {
		return nil, err
	}
	second, err := im.write(ctx, letters[half:])
	return append(first, second...), err
}
