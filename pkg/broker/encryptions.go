package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// encryptions say of each version that the bucket keeps whether bodies had to be
// encrypted, as of the newest one.
type encryptions struct {
	newest uint64
	all    []encryption // newest first
}

type encryption struct {
	revision uint64
	version  int
	from     time.Time
	clear    bool // it took bodies in the clear
}

// TookClear reports whether the webhook took bodies that are not encrypted: at a
// revision or, where the bucket does not have that one, at a time. It is false where the
// bucket does not tell any more.
func (c *Catalog) TookClear(ctx context.Context, id string, revision uint64, at time.Time) (bool, error) {
	e, err := c.encryptionsOf(ctx, id)
	if err != nil {
		return false, err
	}
	for _, x := range e.all {
		if x.revision == revision {
			return x.clear, nil
		}
	}
	return e.tookClearAt(at), nil
}

// knownWithin is how long after a save an ingress may go by the definition before, plus
// what the clocks differ.
const knownWithin = 30 * time.Second

func (e encryptions) tookClearAt(at time.Time) bool {
	for i, x := range e.all {
		begins, ends := x.version <= 1 || !x.from.After(at), i == 0 || e.all[i-1].from.After(at.Add(-knownWithin))
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
	kept, _, err := readVersions(ctx, c.conn, id)
	if err != nil {
		return e, fmt.Errorf("read the versions of %s: %w", id, err)
	}
	e = encryptions{newest: newest}
	for _, v := range kept {
		e.all = append(e.all, encryption{
			revision: v.Revision, version: v.Version, from: v.UpdatedAt, clear: !v.IsNewer() && !v.Encryption.IsOn(),
		})
	}
	c.mu.Lock()
	c.encryptions[id] = e
	c.mu.Unlock()
	return e, nil
}
