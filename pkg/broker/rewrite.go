package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// versionPrefix begins the keys of versions that were rewritten. JetStream cannot
// change a message, so a changed version gets a key of its own, and the messages of
// the webhook's key before its newest are purged.
const versionPrefix = "version."

func rewrittenKey(id string, version int) string {
	return versionPrefix + id + "." + strconv.Itoa(version)
}

// rewritten is the value of such a key.
type rewritten struct {
	// Revision is the one that the version was saved as.
	Revision uint64          `json:"revision"`
	Record   json.RawMessage `json:"record"`
}

// Rewriting returns a record changed, and reports whether it had to be.
type Rewriting func(webhook.Record) (webhook.Record, bool)

// RewriteVersions changes the older versions of a webhook. Nothing of their old form is
// left in the bucket. It returns the versions that it has written again. The caller saves
// the newest one; a record of the same version that it replaced is removed.
//
// It may be interrupted, and run again or twice at once: a version that somebody has
// rewritten is changed from there, and what is there is purged only once all of it is
// rewritten. A version that cannot be read may hold a secret, too, and is removed.
func (d *Definitions) RewriteVersions(ctx context.Context, newest Saved, change Rewriting) (written []int, _ error) {
	bucket, err := d.bucket(ctx)
	if err != nil {
		return nil, err
	}
	versions, unreadable, err := d.before(ctx, bucket, newest)
	if err != nil {
		return nil, err
	}
	purge := slices.Contains(unreadable, definitionKey(newest.ID))
	for _, v := range versions {
		_, changes := change(v.Record)
		if changes && v.Newer != nil {
			return nil, fmt.Errorf("version %d of %q was not changed: %w", v.Version, v.Name, v.Newer)
		}
		purge = purge || changes && v.rewritten == 0
	}
	for _, v := range slices.Backward(versions) { // the oldest first
		again, changes := change(v.Record)
		switch {
		case v.Version == newest.Version:
		case newest.Version-v.Version >= revisionsKept:
			err = d.purge(ctx, rewrittenKey(v.ID, v.Version), 0) // the bucket would have dropped it
		case changes || purge && v.rewritten == 0:
			err = d.rewrite(ctx, bucket, v, again, change)
		}
		if err != nil {
			return written, fmt.Errorf("rewrite version %d of %q: %w", v.Version, v.Name, err)
		}
		if changes {
			written = append(written, v.Version)
		}
	}
	for _, key := range unreadable {
		if key == definitionKey(newest.ID) {
			continue
		}
		if err := d.purge(ctx, key, 0); err != nil {
			return written, fmt.Errorf("remove a version of %q that cannot be read: %w", newest.Name, err)
		}
	}
	if !purge {
		return written, nil
	}
	if err := d.purge(ctx, definitionKey(newest.ID), newest.Revision); err != nil {
		return written, fmt.Errorf("remove the old versions of %q: %w", newest.Name, err)
	}
	return written, nil
}

// before returns the versions before the newest, newest first, and the keys of what
// cannot be read. It waits for a server
// that does not show the newest yet: that one may lack others, too, which would be
// purged unread.
func (d *Definitions) before(ctx context.Context, bucket jetstream.KeyValue, newest Saved) (versions []keptVersion, unreadable []string, err error) {
	giveUp := time.Now().Add(askFor)
	for {
		versions, unreadable, err = readVersions(ctx, d.conn, newest.ID)
		if err != nil {
			return nil, nil, fmt.Errorf("read the versions of %q: %w", newest.Name, err)
		}
		if len(versions) > 0 && versions[0].Revision >= newest.Revision {
			for len(versions) > 0 && versions[0].Revision >= newest.Revision {
				versions = versions[1:]
			}
			return versions, unreadable, nil
		}
		if time.Now().After(giveUp) {
			return nil, nil, fmt.Errorf("NATS does not show the newest version of %q yet, try again", newest.Name)
		}
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// rewriteTries bounds how often a version is read again that somebody else rewrites.
const rewriteTries = 10

// rewrite saves a version under its own key. One that is there by now was rewritten by
// somebody else: that one is changed, and never replaced by what was read before it.
func (d *Definitions) rewrite(ctx context.Context, bucket jetstream.KeyValue, v keptVersion, rec webhook.Record, change Rewriting) error {
	key := rewrittenKey(v.ID, v.Version)
	for range rewriteTries {
		value, err := encodeRewritten(rec, v.Revision)
		if err != nil {
			return err
		}
		var revision uint64
		if v.rewritten == 0 {
			_, err = bucket.Create(ctx, key, value)
		} else if revision, err = bucket.Update(ctx, key, value, v.rewritten); err == nil {
			return d.purge(ctx, key, revision)
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return err
		}
		entry, err := bucket.Get(ctx, key)
		if isNoKey(err) {
			return nil // somebody dropped it
		}
		if err != nil {
			return err
		}
		if v, err = decodeRewritten(v.ID, entry.Value(), entry.Revision()); err != nil {
			return err
		}
		again, changes := change(v.Record)
		if !changes {
			return nil
		}
		rec = again
	}
	return ErrConflict
}

// purge removes the messages of a key before a revision; 0 stands for all of them.
func (d *Definitions) purge(ctx context.Context, key string, before uint64) error {
	stream, err := d.conn.js.Stream(ctx, webhooksStream)
	if err != nil {
		return notSetUp(err)
	}
	opts := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject(bucketSubjects + key)}
	if before > 0 {
		opts = append(opts, jetstream.WithPurgeSequence(before))
	}
	return noLeader(stream.Purge(ctx, opts...))
}

func encodeRewritten(rec webhook.Record, revision uint64) ([]byte, error) {
	text, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode a webhook: %w", err)
	}
	return json.Marshal(rewritten{Revision: revision, Record: text})
}

func decodeRewritten(id string, entry []byte, revision uint64) (keptVersion, error) {
	var value rewritten
	if err := json.Unmarshal(entry, &value); err != nil {
		return keptVersion{}, fmt.Errorf("read a version of %s: %w: %w", id, ErrUnreadable, err)
	}
	saved, err := decodeSaved(id, value.Record, value.Revision)
	return keptVersion{Saved: saved, rewritten: revision}, err
}
