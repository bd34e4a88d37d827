package deadletter

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Watcher reports dead letters as they arrive, and those that failed again.
type Watcher struct {
	Store  *postgres.Store
	Filter postgres.DeadLetterFilter
	// Since is when it begins; zero is now.
	Since time.Time
	// Every is how often it polls. Overlap is how far it reads back each time: a
	// failure becomes visible when its transaction ends, after its time was taken.
	Every, Overlap time.Duration
	// Print is called with each new dead letter, in the order in which they
	// failed.
	Print func(admin.Letter) error
	// Away is called once with why the database does not answer, Back when it
	// does.
	Away func(error)
	Back func()

	seen map[failure]bool
	from time.Time
}

// failure is a postgres.Failure that can be compared.
type failure struct {
	id delivery.ID
	at int64
}

func failureOf(id delivery.ID, at time.Time) failure { return failure{id, at.UnixMicro()} }

// Run polls until the context ends, which is not an error.
func (w *Watcher) Run(ctx context.Context) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for away := false; ; {
		err := w.look(ctx, w.print)
		stopped, isPrint := errors.AsType[printError](err)
		switch {
		case ctx.Err() != nil:
			return nil
		case isPrint:
			return stopped.error
		case err != nil && !away:
			w.Away(err)
		case err == nil && away:
			w.Back()
		}
		away = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// begin finds out from where to look on. Without a beginning it is now: what is
// there already is passed over.
func (w *Watcher) begin(ctx context.Context) error {
	now, err := w.Store.Now(ctx)
	if err != nil {
		return err
	}
	w.seen, w.from = map[failure]bool{}, w.Since
	if !w.Since.IsZero() {
		return nil
	}
	w.from = now.Add(-w.Overlap)
	return w.look(ctx, func(_ context.Context, fresh []postgres.Failure) error {
		for _, f := range fresh {
			w.seen[failureOf(f.ID, f.At)] = true
		}
		return nil
	})
}

// look hands on what was not seen before, page by page, and moves on.
func (w *Watcher) look(ctx context.Context, handle func(context.Context, []postgres.Failure) error) error {
	now, err := w.Store.Now(ctx)
	if err != nil {
		return err
	}
	for after := (postgres.Failure{At: w.from}); ; {
		page, err := w.Store.Failures(ctx, after, listPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1]
		fresh := slices.DeleteFunc(page, func(f postgres.Failure) bool { return w.seen[failureOf(f.ID, f.At)] })
		if len(fresh) > 0 {
			if err := handle(ctx, fresh); err != nil {
				return err
			}
		}
		if safe := now.Add(-w.Overlap); after.At.Before(safe) {
			w.forget(after.At)
		}
	}
	w.forget(now.Add(-w.Overlap))
	return nil
}

// forget advances the watcher's position and drops the failures behind it.
func (w *Watcher) forget(before time.Time) {
	if before.Before(w.from) {
		return
	}
	w.from = before
	maps.DeleteFunc(w.seen, func(f failure, _ bool) bool { return f.at < before.UnixMicro() })
}

// printError ends a watch: nobody reads on.
type printError struct{ error }

func (w *Watcher) print(ctx context.Context, fresh []postgres.Failure) error {
	f := w.Filter
	f.Limit, f.IDs = len(fresh), make([]delivery.ID, len(fresh))
	for i := range fresh {
		f.IDs[i] = fresh[i].ID
	}
	letters, err := w.Store.ListDeadLetters(ctx, f)
	if err != nil {
		return err
	}
	slices.SortFunc(letters, func(a, b admin.Letter) int {
		return cmp.Or(a.FailedAt.Compare(b.FailedAt), slices.Compare(a.ID[:], b.ID[:]))
	})
	for _, d := range letters {
		// It may have failed once more since.
		if key := failureOf(d.ID, d.FailedAt); !w.seen[key] {
			w.seen[key] = true
			if err := w.Print(d); err != nil {
				return printError{err}
			}
		}
	}
	for _, f := range fresh {
		w.seen[failureOf(f.ID, f.At)] = true
	}
	return nil
}
