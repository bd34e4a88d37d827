package broker

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Versions returns the saves of a webhook that the bucket still has, newest
// first; it keeps 64. Those of a deleted webhook are among them.
func (d *Definitions) Versions(ctx context.Context, id string) ([]Saved, error) {
	kept, unreadable, err := readVersions(ctx, d.conn, id)
	if err != nil {
		return nil, fmt.Errorf("read the versions of %s: %w", id, err)
	}
	if len(unreadable) > 0 {
		d.conn.log.Warn().Str("webhook_id", id).Int("versions", len(unreadable)).Msg("left out versions of a webhook that cannot be read")
	}
	if len(kept) == 0 {
		return nil, ErrWebhookNotFound
	}
	versions := make([]Saved, 0, len(kept))
	for _, v := range kept {
		if kept[0].Version-v.Version < revisionsKept {
			versions = append(versions, v.Saved)
		}
	}
	return versions, nil
}

// keptVersion is a save that the bucket has.
type keptVersion struct {
	Saved
	// rewritten is the revision of the version's own key, 0 while the webhook's key
	// has the version.
	rewritten uint64
}

// readVersions returns all that the bucket has of a webhook, newest first, and the keys
// of what cannot be read. It reads those that were rewritten last: what is purged
// meanwhile is among them.
func readVersions(ctx context.Context, c *Conn, id string) (versions []keptVersion, unreadable []string, _ error) {
	entries, err := c.history(ctx, definitionKey(id))
	if err != nil {
		return nil, nil, err
	}
	versions = make([]keptVersion, 0, len(entries))
	known := map[int]bool{}
	for _, s := range entries {
		if s.removed {
			continue
		}
		saved, err := decodeSaved(id, s.value, s.revision)
		if err != nil {
			unreadable = append(unreadable, s.key)
			continue
		}
		versions, known[saved.Version] = append(versions, keptVersion{Saved: saved}), true
	}
	rewritten, err := c.history(ctx, versionPrefix+id+".*")
	if err != nil {
		return nil, nil, err
	}
	for _, s := range newestOfEach(rewritten) {
		v, err := decodeRewritten(id, s.value, s.revision)
		if err != nil {
			unreadable = append(unreadable, s.key)
		} else if !known[v.Version] {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, func(a, b keptVersion) int { return cmp.Compare(b.Revision, a.Revision) })
	return versions, unreadable, nil
}

// newestOfEach returns what the keys have now.
func newestOfEach(entries []stored) (newest []stored) {
	at := map[string]int{}
	for _, s := range entries {
		i, again := at[s.key]
		if !again {
			i = len(newest)
			at[s.key], newest = i, append(newest, s)
		}
		newest[i] = s
	}
	return slices.DeleteFunc(newest, func(s stored) bool { return s.removed })
}

// eachEntry calls f with what the keys have now.
func eachEntry(ctx context.Context, bucket jetstream.KeyValue, keys string, f func(jetstream.KeyValueEntry) error) error {
	watch, stop, err := watch(ctx, bucket, keys, jetstream.IgnoreDeletes())
	if err != nil {
		return err
	}
	defer stop()
	for {
		select {
		case entry := <-watch.Updates():
			if entry == nil {
				return nil
			}
			if err := f(entry); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
