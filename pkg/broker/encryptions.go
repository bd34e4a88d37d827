package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// encryptions say of each revision that the bucket keeps whether bodies had to be
// encrypted, as of the newest one.
type encryptions struct {
	newest uint64
	all    []encryption // oldest first
}

type encryption struct {
	revision uint64
	version  int
	from     time.Time
	clear    bool // it took bodies in the clear
}

// TookClear reports whether the webhook took bodies that are not encrypted: at a revision
// or, where that is 0, at a time. It is false where the bucket does not tell any more.
func (c *Catalog) TookClear(ctx context.Context, id string, revision uint64, at time.Time) (bool, error) {
	e, err := c.encryptionsOf(ctx, id)
	if err != nil {
		return false, err
	}
	if revision == 0 {
		return e.tookClearAt(at), nil
	}
	for _, x := range e.all {
		if x.revision == revision {
			return x.clear, nil
		}
	}
	return false, nil
}

// knownWithin is how long after a save an ingress may go by the definition before, plus
// what its clock differs from the broker's.
const knownWithin = 30 * time.Second

func (e encryptions) tookClearAt(at time.Time) bool {
	for i, x := range e.all {
		begins, ends := x.version <= 1 || !x.from.After(at), i+1 == len(e.all) || e.all[i+1].from.After(at.Add(-knownWithin))
		if begins && ends && x.clear {
			return true
		}
	}
	return false
}

func (c *Catalog) encryptionsOf(ctx context.Context, id string) (encryptions, error) {
	if !webhook.IsID(id) {
		return encryptions{}, nil
	}
	newest := uint64(0)
	if w, _ := c.Lookup(id); w != nil {
		newest = w.Revision
	}
	c.mu.RLock()
	e, known := c.encryptions[id]
	c.mu.RUnlock()
	if known && e.newest == newest {
		return e, nil
	}
	bucket, err := c.conn.bucket(ctx)
	if err != nil {
		return e, fmt.Errorf("read the versions of %s: %w", id, notSetUp(err))
	}
	entries, err := bucket.History(ctx, definitionKey(id))
	if err != nil && !isNoKey(err) {
		return e, fmt.Errorf("read the versions of %s: %w", id, err)
	}
	e = encryptions{newest: newest}
	for _, entry := range entries {
		rec, err := webhook.ReadRecord(entry.Value())
		if err != nil {
			continue // of a key that was purged
		}
		e.all = append(e.all, encryption{
			revision: entry.Revision(), version: rec.Version, from: entry.Created(), clear: !rec.IsNewer() && !rec.Encryption.IsOn(),
		})
	}
	c.mu.Lock()
	c.encryptions[id] = e
	c.mu.Unlock()
	return e, nil
}
