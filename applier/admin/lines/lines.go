// Package lines imports files, chunk by chunk. Each chunk is one transaction. An
// import that was interrupted goes on when it runs again on the same file, because
// rows that are known stay as they are. The package is pure.
package lines

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Bad is a line that cannot be imported.
type Bad struct {
	Line    int    `json:"line"`
	Problem string `json:"problem"`
}

func (b *Bad) Error() string { return fmt.Sprintf("line %d: %s", b.Line, b.Problem) }

// Chunk is the rows that one transaction writes.
type Chunk[R any] struct {
	Rows  []R
	lines []int // of the rows
	bad   []Bad
	last  int
}

// Refuse makes the line of a row a bad one.
func (c *Chunk[R]) Refuse(row int, problem string) {
	c.bad = append(c.bad, Bad{c.lines[row], problem})
}

// Importer imports the rows of one file. It keeps no more than a chunk in memory.
type Importer[R any] struct {
	// Next returns a row and its line. After a *Bad it can be called again.
	Next func() (row R, line int, err error)
	// Most bounds the lines of a chunk.
	Most int
	// IsFull says that a row belongs into the next chunk; nil for never.
	IsFull func(c *Chunk[R], row R) bool
	// Write commits a chunk that has rows.
	Write func(ctx context.Context, c *Chunk[R]) error
	// Bad is called with each bad line, in the order of the file.
	Bad func(Bad) error
	// Committed is called after each chunk, before Bad, with its last line and how
	// many of its lines are bad.
	Committed func(line, bad int)
	// Progress is called after each chunk, after Bad.
	Progress func()

	line int // the last one that was committed
}

// Run imports all good lines. After an error, the chunks that were committed stay.
func (im *Importer[R]) Run(ctx context.Context) error {
	var c Chunk[R]
	for {
		row, line, err := im.Next()
		bad, isBad := errors.AsType[*Bad](err)
		switch {
		case errors.Is(err, io.EOF):
			return im.flush(ctx, &c)
		case isBad:
			c.bad = append(c.bad, *bad)
		case err != nil:
			flushErr := im.flush(ctx, &c)
			return errors.Join(flushErr, fmt.Errorf("after line %d: %w", im.line, err))
		default:
			if im.IsFull != nil && im.IsFull(&c, row) {
				if err := im.flush(ctx, &c); err != nil {
					return err
				}
			}
			c.Rows, c.lines = append(c.Rows, row), append(c.lines, line)
		}
		c.last = line
		if len(c.Rows)+len(c.bad) < im.Most {
			continue
		}
		if err := im.flush(ctx, &c); err != nil {
			return err
		}
	}
}

// flush commits a chunk and empties it.
func (im *Importer[R]) flush(ctx context.Context, c *Chunk[R]) error {
	if c.last == 0 {
		return nil
	}
	if len(c.Rows) > 0 {
		if err := im.Write(ctx, c); err != nil {
			return err
		}
	}
	slices.SortStableFunc(c.bad, func(a, b Bad) int { return cmp.Compare(a.Line, b.Line) })
	im.line = c.last
	im.Committed(c.last, len(c.bad))
	for _, b := range c.bad {
		if err := im.Bad(b); err != nil {
			return err
		}
	}
	im.Progress()
	*c = Chunk[R]{Rows: c.Rows[:0], lines: c.lines[:0], bad: c.bad[:0]}
	return nil
}
