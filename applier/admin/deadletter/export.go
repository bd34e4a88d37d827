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

// Export writes those of communities of which who asks is an admin, a line of JSON each,
// oldest first: it leaves nothing out of payloads. It ends with the newest dead letter
// that is there when it begins. Those replayed or discarded meanwhile may be left out.
// progress is called with the number written so far.
func (s *Service) Export(ctx context.Context, w io.Writer, f Filter, progress func(done int)) (done int, err error) {
	if admin.ActorOf(ctx).Grants.Most() < admin.AdminOf {
		return 0, &admin.NotAllowedError{Needs: admin.AdminOf}
	}
	ctx = admin.Needing(ctx, admin.AdminOf)
	f.Limit = 1
	newest, err := s.store.ListDeadLetters(ctx, f)
	if err != nil || len(newest) == 0 {
		return 0, err
	}
	f.OldestFirst, f.Limit, f.Newest = true, 0, newest[0].ID
	e := exporter{store: s.store, filter: f, out: bufio.NewWriterSize(w, 64<<10), progress: progress}
	for d, err := range s.All(ctx, f) {
		if err != nil {
			return e.done, err
		}
		if err := e.add(ctx, d); err != nil {
			return e.done, err
		}
	}
	if err := e.write(ctx); err != nil {
		return e.done, err
	}
	return e.done, e.out.Flush()
}

// exporter writes dead letters. It reads those of a chunk together.
type exporter struct {
	store    *postgres.Store
	filter   Filter
	out      *bufio.Writer
	progress func(done int)
	done     int

	ids   []delivery.ID // of the chunk
	bytes int
}

// add adds a dead letter to the chunk. It writes a chunk that has no room for it.
func (e *exporter) add(ctx context.Context, d admin.Letter) error {
	if len(e.ids) == chunkLetters || e.bytes+weight(d) > chunkBytes {
		if err := e.write(ctx); err != nil {
			return err
		}
	}
	e.ids, e.bytes = append(e.ids, d.ID), e.bytes+weight(d)
	return nil
}

// weight is about what a dead letter takes in memory: each of its executions may
// have an edited payload, too.
func weight(d admin.Letter) int {
	const rest = 1 << 10
	return d.PayloadBytes + d.EditedBytes + (1+d.Replays)*(rest+d.EditedBytes)
}

func (e *exporter) write(ctx context.Context) error {
	if len(e.ids) == 0 {
		return nil
	}
	e.filter.IDs = e.ids
	letters, err := e.store.ReadDeadLetters(ctx, e.filter)
	if err != nil {
		return err
	}
	for _, d := range letters {
		text, err := encode(d)
		if err != nil {
			return fmt.Errorf("write the dead letter %s: %w", d.ID, err)
		}
		if _, err := e.out.Write(text); err != nil {
			return err
		}
		e.done++
	}
	e.progress(e.done)
	e.ids, e.bytes = e.ids[:0], 0
	return nil
}
