package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// watchRetry is the pause before a lost watch is set up again.
const watchRetry = 250 * time.Millisecond

// Catalog holds all definitions in memory, compiled, and follows the bucket.
// While the broker is away it answers from what it knows.
type Catalog struct {
	conn *Conn

	read     chan struct{} // closed with the first reading
	readOnce sync.Once
	seen     identity // of the bucket, used by Run alone

	mu    sync.RWMutex
	known bool
	byID  map[string]*webhook.Webhook
	// loading is what a new watch has brought, nil once that is taken.
	loading map[string]*webhook.Webhook
	// versions are those that were asked for; a version never changes.
	versions map[versionKey]*webhook.Webhook
	// encryptions are those of webhooks that were asked for, one entry a webhook.
	encryptions map[string]encryptions
}

type versionKey struct {
	id      string
	version int
}

// NewCatalog returns an empty catalog; Run fills it.
func NewCatalog(c *Conn) *Catalog {
	return &Catalog{conn: c, read: make(chan struct{}), byID: map[string]*webhook.Webhook{}, versions: map[versionKey]*webhook.Webhook{}, encryptions: map[string]encryptions{}}
}

// Lookup returns the newest known definition, nil if there is none. known is
// false until the bucket was read for the first time.
func (c *Catalog) Lookup(id string) (w *webhook.Webhook, known bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byID[id], c.known
}

// IsKeyed reports whether a webhook is known, and its id alone lets nobody send.
func (c *Catalog) IsKeyed(id string) bool {
	w, _ := c.Lookup(id)
	return w != nil && !w.IsKeyless()
}

// List returns the newest known definitions, in no order; those of deleted
// webhooks too. There are none until the bucket was read for the first time.
func (c *Catalog) List() []*webhook.Webhook {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.known {
		return nil
	}
	return slices.Collect(maps.Values(c.byID))
}

// Ready reports an error until the definitions have been read once.
func (c *Catalog) Ready(context.Context) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.known {
		return fmt.Errorf("the definitions of the webhooks have not been read yet")
	}
	return nil
}

// Await waits until the definitions have been read once, ctx is done, or that time
// has passed.
func (c *Catalog) Await(ctx context.Context, within time.Duration) {
	select {
	case <-c.read:
	case <-time.After(within):
	case <-ctx.Done():
	}
}

// At returns the definition at that revision or a later one, nil if there is
// none. It asks the bucket when memory is behind, which takes the broker.
func (c *Catalog) At(ctx context.Context, id string, revision uint64) (*webhook.Webhook, error) {
	if w, known := c.Lookup(id); known && w != nil && w.Revision >= revision {
		return w, nil
	}
	bucket, err := c.conn.bucket(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the definition of %s: %w", id, notSetUp(err))
	}
	if !webhook.IsID(id) {
		return nil, nil
	}
	entry, err := bucket.Get(ctx, definitionKey(id))
	if isNoKey(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the definition of %s: %w", id, err)
	}
	c.put(ctx, bucket, entry)
	w, _ := c.Lookup(id)
	return w, nil
}

// Version returns one version of a definition, nil if the bucket does not keep
// it any more.
func (c *Catalog) Version(ctx context.Context, id string, version int) (*webhook.Webhook, error) {
	key := versionKey{id, version}
	c.mu.RLock()
	w, known := c.versions[key]
	c.mu.RUnlock()
	if known {
		return w, nil
	}
	bucket, err := c.conn.bucket(ctx)
	if err != nil {
		return nil, fmt.Errorf("read version %d of %s: %w", version, id, notSetUp(err))
	}
	kept, _, err := readVersions(ctx, bucket, id)
	if err != nil {
		return nil, fmt.Errorf("read version %d of %s: %w", version, id, err)
	}
	for _, v := range kept {
		if v.Version == version {
			// Without a usable mapping its deliveries fail as they did at the time.
			w, _ = compileRecord(v.Record, v.Revision)
		}
	}
	c.mu.Lock()
	c.versions[key] = w // also that it is gone: it does not come back
	c.mu.Unlock()
	return w, nil
}

// Run follows the bucket until ctx is done.
func (c *Catalog) Run(ctx context.Context) error {
	complained := false
	for ctx.Err() == nil {
		err := c.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if !errors.Is(err, ErrNotConnected) {
			if !complained {
				c.conn.log.Warn().Err(notSetUp(err)).Msg("cannot follow the definitions of the webhooks, trying again")
			}
			complained = true
		}
		select {
		case <-time.After(watchRetry):
		case <-ctx.Done():
		}
	}
	return nil
}

// follow watches until the watch ends, the connection is lost, or the bucket is
// another one. Each watch starts with all that its server has.
func (c *Catalog) follow(ctx context.Context) error {
	if err := c.conn.WaitConnected(ctx); err != nil {
		return err
	}
	// A watch across a reconnect may have missed something.
	ctx, done := c.conn.whileConnected(ctx)
	defer done()
	bucket, err := c.conn.bucket(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.loading = map[string]*webhook.Webhook{}
	c.mu.Unlock()
	// All keys are watched, so that the newest revision of the bucket is among them.
	watch, stop, err := watch(ctx, bucket, ">")
	if err != nil {
		return err
	}
	defer stop()
	snapshot := snapshot{bucket: bucket}
	tick := time.NewTicker(takeEvery)
	defer tick.Stop()
	for {
		select {
		case entry, ok := <-watch.Updates():
			switch {
			case !ok:
				return fmt.Errorf("the watch ended")
			case entry == nil: // all that the server had at the start has been sent
				snapshot.sentAt = time.Now()
				c.take(ctx, &snapshot)
			default:
				snapshot.last = max(snapshot.last, entry.Revision())
				// Also of what was saved just before the connection was lost, else a
				// bucket that comes back without it looks like the same one.
				c.seen.last = max(c.seen.last, entry.Revision())
				c.put(ctx, bucket, entry)
			}
		case <-tick.C:
			if !snapshot.taken {
				c.take(ctx, &snapshot)
				continue
			}
			tick.Reset(checkBucketEvery)
			now, err := identify(ctx, bucket)
			if err != nil {
				continue // it says nothing of the bucket
			}
			if c.seen.isReplacedBy(now) {
				return errBucketReplaced
			}
			c.seen = now
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// checkBucketEvery is how often the bucket is compared with the one that is
// watched: a watch says nothing when an admin restores it under the open
// connection.
const checkBucketEvery = 5 * time.Second

// takeEvery is how often the catalog checks whether a snapshot is complete.
const takeEvery = 100 * time.Millisecond

// snapshotPatience is how long the server of a watch may take to catch up with the
// others. One that lost its disk has what it had to copy.
const snapshotPatience = 30 * time.Second

var errBucketReplaced = fmt.Errorf("the bucket %s was replaced by another one, as from a backup", webhooksBucket)

// identity tells a bucket from one of the same name that was there before.
type identity struct {
	created time.Time
	last    uint64 // revision
}

// isReplacedBy reports whether the bucket is another one now, or came back from a
// backup. Of a bucket that nobody has seen yet it reports false.
func (i identity) isReplacedBy(now identity) bool {
	return !i.created.IsZero() && (!now.created.Equal(i.created) || now.last < i.last)
}

// identify asks the bucket's leader, which has all of it.
func identify(ctx context.Context, bucket jetstream.KeyValue) (identity, error) {
	ctx, cancel := context.WithTimeout(ctx, answerSoon)
	defer cancel()
	status, err := bucket.Status(ctx)
	if err != nil {
		return identity{}, err
	}
	kv, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return identity{}, fmt.Errorf("the bucket %s has no stream", webhooksBucket)
	}
	return identity{created: kv.StreamInfo().Created, last: kv.StreamInfo().State.LastSeq}, nil
}

// snapshot is what a watch has brought so far.
type snapshot struct {
	bucket jetstream.KeyValue
	last   uint64    // the newest revision
	sentAt time.Time // when all was sent that its server had, zero before
	taken  bool
}

// take decides what a new watch means, once it has brought all that its server had.
//
// Any server may serve the watch, also one that has lost its disk and copies the
// bucket from the others. So the snapshot takes the place of what is known only
// where the leader says that the bucket came back from a backup, with lower
// revisions. Otherwise it adds to what is known. And it counts only when it has what
// the leader has: a webhook that is missing would be answered 404.
func (c *Catalog) take(ctx context.Context, s *snapshot) {
	if s.sentAt.IsZero() || s.taken {
		return
	}
	now, err := identify(ctx, s.bucket)
	waited := time.Since(s.sentAt) > snapshotPatience
	_, known := c.Lookup("")
	replaces := !known || err == nil && c.seen.isReplacedBy(now)
	if (err != nil || replaces && s.last < now.last) && !waited {
		return
	}
	if err == nil {
		c.seen = now
	}
	s.taken = true
	c.mu.Lock()
	if replaces {
		c.byID, c.known = c.loading, true
		// After a restore a version may be another one than before.
		c.versions = map[versionKey]*webhook.Webhook{}
		c.encryptions = map[string]encryptions{}
	}
	c.loading = nil
	c.mu.Unlock()
	c.readOnce.Do(func() { close(c.read) })
}

// put takes a definition over if it is newer than the known one. A record that this
// version cannot read stays out, the older one stays in force.
func (c *Catalog) put(ctx context.Context, bucket jetstream.KeyValue, entry jetstream.KeyValueEntry) {
	id, ok := strings.CutPrefix(entry.Key(), definitionPrefix)
	if !ok || entry.Operation() != jetstream.KeyValuePut {
		return // a claim on a name, or an older version; records are marked as deleted, never removed
	}
	w, err := decodeRecord(entry)
	if err != nil {
		c.conn.log.Error().Err(err).Str("webhook_id", id).Uint64("revision", entry.Revision()).
			Msg("cannot use a definition")
	}
	if w == nil {
		w, _ = c.Lookup(id)
	}
	if w == nil {
		w = c.before(ctx, bucket, id)
	}
	if w != nil {
		c.add(id, w)
	}
}

func (c *Catalog) add(id string, w *webhook.Webhook) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range []map[string]*webhook.Webhook{c.byID, c.loading} {
		if old := known[id]; known != nil && (old == nil || old.Revision < w.Revision) {
			known[id] = w
		}
	}
}

// before returns the last version that can be read of a webhook whose newest record
// cannot be, nil if there is none: a program that starts then knows what others still
// know, so that they agree.
func (c *Catalog) before(ctx context.Context, bucket jetstream.KeyValue, id string) *webhook.Webhook {
	if !webhook.IsID(id) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerSoon)
	defer cancel()
	kept, _, err := readVersions(ctx, bucket, id)
	if err != nil || len(kept) == 0 {
		return nil
	}
	w, _ := compileRecord(kept[0].Record, kept[0].Revision)
	return w
}

func decodeRecord(entry jetstream.KeyValueEntry) (*webhook.Webhook, error) {
	rec, err := readRecord(strings.TrimPrefix(entry.Key(), definitionPrefix), entry.Value())
	if err != nil {
		return nil, err
	}
	return compileRecord(rec, entry.Revision())
}

// compileRecord returns the webhook with an error when its mapping cannot be
// compiled: it still authenticates, and its deliveries fail as invalid_mapping.
// A webhook in a newer format comes with an error, too: all that is known of it is
// its envelope, and it takes the place of the older definition.
func compileRecord(rec webhook.Record, revision uint64) (*webhook.Webhook, error) {
	if rec.IsNewer() {
		return &webhook.Webhook{Record: rec, Revision: revision}, ErrNewer
	}
	w, err := webhook.Compile(rec, revision)
	if err != nil {
		return w, fmt.Errorf("compile a record: %w", err)
	}
	return w, nil
}
