package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// The catalog follows the bucket without a consumer. A client that makes a consumer
// chooses where the server sends messages, so the ingress has no right to make one.

const (
	// checkBucketEvery is how often the catalog asks whether the bucket has something new.
	checkBucketEvery = time.Second
	// checkBucketSoon is how soon it asks after a hint, and while a server lags behind.
	checkBucketSoon = 5 * time.Millisecond
	// lagPatience is how long a server may take to catch up with the others. One that
	// lost its disk has what it had to copy.
	lagPatience = 30 * time.Second
	// newestPatience is how long the catalog asks for the newest revision before it reads
	// all again. It may be gone: secrets of a deleted webhook leave the bucket.
	newestPatience = 2 * time.Second
	// failingPatience is how long errors may last that say nothing of the bucket.
	failingPatience = 10 * time.Second
)

var (
	errBucketReplaced = fmt.Errorf("the bucket %s was replaced by another one, as from a backup", webhooksBucket)
	errLags           = errors.New("the server lags behind the leader")
)

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
func identify(ctx context.Context, bucket jetstream.Stream) (identity, error) {
	ctx, cancel := context.WithTimeout(ctx, answerSoon)
	defer cancel()
	info, err := bucket.Info(ctx)
	if err != nil {
		return identity{}, err
	}
	return identity{created: info.Created, last: info.State.LastSeq}, nil
}

// follow reads the whole bucket and then every save, until the connection is lost or the
// bucket is replaced.
func (c *Catalog) follow(ctx context.Context) error {
	if err := c.conn.WaitConnected(ctx); err != nil {
		return err
	}
	ctx, done := c.conn.whileConnected(ctx)
	defer done()
	hints, stop, err := c.conn.onSaved()
	if err != nil {
		return err
	}
	defer stop()
	bucket, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.Stream, error) {
		return c.conn.js.Stream(ctx, webhooksStream)
	})
	if err != nil {
		return err
	}
	info := bucket.CachedInfo()
	now := identity{created: info.Created, last: info.State.LastSeq}
	if _, known := c.Lookup(""); !known || c.seen.isReplacedBy(now) {
		if err := c.load(ctx, bucket); err != nil {
			return err
		}
	}
	c.readOnce.Do(func() { close(c.read) })
	return c.poll(ctx, bucket, hints)
}

// poll asks for new revisions soon after a hint, and once a second without one. A hint
// may get lost, and it may come before the bucket has the new revision.
func (c *Catalog) poll(ctx context.Context, bucket jetstream.Stream, hints <-chan struct{}) error {
	var failing time.Time
	for wait := checkBucketSoon; ; wait = min(2*wait, checkBucketEvery) {
		err := c.advance(ctx, bucket)
		switch {
		case err == nil:
			failing = time.Time{}
		case failing.IsZero():
			failing, wait = time.Now(), checkBucketSoon
		case errors.Is(err, errLags) && time.Since(failing) > newestPatience:
			if err := c.load(ctx, bucket); err != nil {
				return err
			}
		case errors.Is(err, errBucketReplaced) || time.Since(failing) > failingPatience:
			return err
		}
		select {
		case <-time.After(wait):
		case <-hints:
			wait = checkBucketSoon / 2 // and twice that in the next round
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// advance reads what was saved since. It returns errLags where not all of it came.
func (c *Catalog) advance(ctx context.Context, bucket jetstream.Stream) error {
	now, err := identify(ctx, bucket)
	if err != nil {
		return err
	}
	if c.seen.isReplacedBy(now) {
		return errBucketReplaced
	}
	c.seen = now
	for c.readTo < now.last {
		all, _, err := c.conn.getDirectly(ctx, directGet{From: c.readTo + 1, Next: bucketSubjects + ">", Batch: directBatch})
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return errLags
		}
		for _, s := range all {
			c.put(ctx, s)
			// Also of what was saved just before the connection was lost, else a
			// bucket that comes back without it looks like the same one.
			c.readTo, c.seen.last = s.revision, max(c.seen.last, s.revision)
		}
	}
	return nil
}

// load reads all definitions.
func (c *Catalog) load(ctx context.Context, bucket jetstream.Stream) error {
	for began := time.Now(); ; {
		r, err := c.readAll(ctx, bucket)
		if err != nil {
			return fmt.Errorf("read the definitions: %w", err)
		}
		if c.take(r, time.Since(began) > lagPatience) {
			return nil
		}
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reading is what servers have of all definitions.
type reading struct {
	all    map[string]*webhook.Webhook
	bucket identity // as the leader says
	upTo   uint64   // the last revision that all of these servers had
}

// take decides what a reading means, and reports whether it counts.
//
// Any server may answer, also one that has lost its disk and copies the bucket from the
// others. So what it has takes the place of what is known only where the leader says
// that the bucket came back from a backup, with lower revisions. Otherwise it adds to
// what is known. And it counts only when it has what the leader has: a webhook that is
// missing would be answered 404.
func (c *Catalog) take(r reading, waited bool) bool {
	if r.upTo < r.bucket.last && !waited {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known || c.seen.isReplacedBy(r.bucket) {
		c.byID, c.known = r.all, true
		// After a restore a version may be another one than before.
		c.versions = map[versionKey]*webhook.Webhook{}
		c.encryptions = map[string]encryptions{}
	}
	for id, w := range r.all {
		putNewer(c.byID, id, w)
	}
	c.seen, c.readTo = r.bucket, r.upTo
	return true
}

// readAll reads what the keys have now. The leader says which there are.
func (c *Catalog) readAll(ctx context.Context, bucket jetstream.Stream) (reading, error) {
	info, err := patiently(ctx, askFor, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return bucket.Info(ctx, jetstream.WithSubjectFilter(bucketSubjects+definitionKey("*")))
	})
	if err != nil {
		return reading{}, err
	}
	r := reading{all: map[string]*webhook.Webhook{}, bucket: identity{info.Created, info.State.LastSeq}, upTo: info.State.LastSeq}
	for subjects := range slices.Chunk(slices.Sorted(maps.Keys(info.State.Subjects)), directBatch) {
		all, upTo, err := c.conn.getDirectly(ctx, directGet{Last: subjects})
		if err != nil {
			return reading{}, err
		}
		for _, s := range all {
			if id, w := c.decode(ctx, s); w != nil {
				putNewer(r.all, id, w)
			}
		}
		r.upTo = min(r.upTo, upTo)
	}
	return r, nil
}

// onSaved hints at what is saved, until stop is called. It reads the subjects of the
// bucket: a definition comes there before it is stored.
func (c *Conn) onSaved() (hints <-chan struct{}, stop func(), err error) {
	saved := make(chan struct{}, 1)
	sub, err := c.nc.Subscribe(bucketSubjects+">", func(*nats.Msg) {
		select {
		case saved <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("subscribe to %s>: %w", bucketSubjects, err)
	}
	return saved, func() { _ = sub.Unsubscribe() }, nil // it ends with the connection, too
}
