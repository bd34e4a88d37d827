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

	"github.com/coinhook/coinhook/pkg/webhook"
)

// followRetry is the pause before the catalog follows the bucket again.
const followRetry = 250 * time.Millisecond

// Catalog holds all definitions in memory, compiled, and follows the bucket.
// While the broker is down it answers from memory.
type Catalog struct {
	conn *Conn

	read     chan struct{} // closed with the first reading
	readOnce sync.Once
	seen     identity // of the bucket, used by Run alone
	readTo   uint64   // all that the bucket had up to this revision is known, used by Run alone

	mu    sync.RWMutex
	known bool
	byID  map[string]*webhook.Webhook
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

// IsKeyed reports whether a webhook is known and needs more than its id to send.
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
	c.put(ctx, storedOf(entry))
	w, _ := c.Lookup(id)
	return w, nil
}

// Version returns one version of a definition, nil if the bucket no longer
// keeps it.
func (c *Catalog) Version(ctx context.Context, id string, version int) (*webhook.Webhook, error) {
	key := versionKey{id, version}
	c.mu.RLock()
	w, known := c.versions[key]
	c.mu.RUnlock()
	if known {
		return w, nil
	}
	kept, _, err := readVersions(ctx, c.conn, id)
	if err != nil {
		return nil, fmt.Errorf("read version %d of %s: %w", version, id, err)
	}
	isPast := false
	for _, v := range kept {
		isPast = isPast || v.Version > version
		if v.Version == version {
			// Without a usable mapping its deliveries fail as they did at the time.
			w, _ = compileRecord(v.Record, v.Revision)
		}
	}
	if w == nil && !isPast {
		return nil, nil // the server that answered may not have it yet
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
		case <-time.After(followRetry):
		case <-ctx.Done():
		}
	}
	return nil
}

// put takes a definition over if it is newer than the known one.
func (c *Catalog) put(ctx context.Context, s stored) {
	id, w := c.decode(ctx, s)
	if w == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	putNewer(c.byID, id, w)
}

func putNewer(all map[string]*webhook.Webhook, id string, w *webhook.Webhook) {
	if old := all[id]; old == nil || old.Revision < w.Revision {
		all[id] = w
	}
}

// decode returns the definition that a key has, nil for other keys. In the place of a
// record that this version cannot read is the older one, which stays in force.
func (c *Catalog) decode(ctx context.Context, s stored) (id string, w *webhook.Webhook) {
	id, ok := strings.CutPrefix(s.key, definitionPrefix)
	if !ok || s.removed {
		return id, nil // a claim on a name, or an older version; records are marked as deleted, never removed
	}
	w, err := decodeRecord(s)
	if err != nil {
		c.conn.log.Error().Err(err).Str("webhook_id", id).Uint64("revision", s.revision).
			Msg("cannot use a definition")
	}
	if w == nil {
		w, _ = c.Lookup(id)
	}
	if w == nil {
		w = c.before(ctx, id)
	}
	return id, w
}

// before returns the last version that can be read of a webhook whose newest record
// cannot be, nil if there is none: a program that starts then knows what others still
// know, so that they agree.
func (c *Catalog) before(ctx context.Context, id string) *webhook.Webhook {
	if !webhook.IsID(id) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerSoon)
	defer cancel()
	kept, _, err := readVersions(ctx, c.conn, id)
	if err != nil || len(kept) == 0 {
		return nil
	}
	w, _ := compileRecord(kept[0].Record, kept[0].Revision)
	return w
}

func decodeRecord(s stored) (*webhook.Webhook, error) {
	rec, err := readRecord(strings.TrimPrefix(s.key, definitionPrefix), s.value)
	if err != nil {
		return nil, err
	}
	return compileRecord(rec, s.revision)
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
