package deadletter

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// chunkBytes and chunkLetters bound what is in memory at once, and what one
// transaction reads or writes.
const (
	chunkBytes   = 4 << 20
	chunkLetters = 500
)

// Exporter writes dead letters, a line of JSON each, oldest first.
type Exporter struct {
	Store *postgres.Store
	// Progress is told how many are written.
	Progress func(done int)
}

// Run writes what the filter lets through, up to the newest dead letter that is
// there when it begins. What is replayed or discarded meanwhile may be left out.
func (e *Exporter) Run(ctx context.Context, w io.Writer, f postgres.DeadLetterFilter) (done int, err error) {
	f.Limit = 1
	newest, err := e.Store.ListDeadLetters(ctx, f)
	if err != nil || len(newest) == 0 {
		return 0, err
	}
	f.OldestFirst, f.Limit, f.Newest = true, 0, newest[0].ID
	out := bufio.NewWriterSize(w, 64<<10)
	var chunk chunkOf
	for d, err := range All(ctx, e.Store, f) {
		if err != nil {
			return done, err
		}
		if !chunk.takes(weight(d)) {
			if done, err = e.write(ctx, out, f, &chunk, done); err != nil {
				return done, err
			}
		}
		chunk.add(d.ID, weight(d))
	}
	if done, err = e.write(ctx, out, f, &chunk, done); err != nil {
		return done, err
	}
	return done, out.Flush()
}

// chunkOf are dead letters that are read together.
type chunkOf struct {
	ids   []delivery.ID
	bytes int
}

func (c *chunkOf) takes(bytes int) bool {
	return len(c.ids) == 0 || len(c.ids) < chunkLetters && c.bytes+bytes <= chunkBytes
}

func (c *chunkOf) add(id delivery.ID, bytes int) {
	c.ids = append(c.ids, id)
	c.bytes += bytes
}

// weight is about what a dead letter takes in memory: each of its executions may
// have an edited payload, too.
func weight(d admin.Letter) int {
	const rest = 1 << 10
	return d.PayloadBytes + d.EditedBytes + (1+d.Replays)*(rest+d.EditedBytes)
}

func (e *Exporter) write(ctx context.Context, out io.Writer, f postgres.DeadLetterFilter, chunk *chunkOf, done int) (int, error) {
	if len(chunk.ids) == 0 {
		return done, nil
	}
	f.IDs = chunk.ids
	letters, err := e.Store.ReadDeadLetters(ctx, f)
	if err != nil {
		return done, err
	}
	for _, d := range letters {
		text, err := encode(d)
		if err != nil {
			return done, fmt.Errorf("write the dead letter %s: %w", d.ID, err)
		}
		if _, err := out.Write(text); err != nil {
			return done, err
		}
		done++
	}
	e.Progress(done)
	*chunk = chunkOf{ids: chunk.ids[:0]}
	return done, nil
}
