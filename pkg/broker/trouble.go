package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Trouble is what one applier reports about deliveries that it cannot settle
// now.
type Trouble struct {
	Applier string `json:"applier"`
	// Retried is nil unless it tries deliveries again and again.
	Retried *TroubleRetried `json:"retried,omitempty"`
}

// TroubleRetried are deliveries that cannot be settled now, though their webhooks and
// users are not the cause.
type TroubleRetried struct {
	Since      time.Time `json:"since"`
	Attempts   int       `json:"attempts"`
	Why        string    `json:"why"`
	Deliveries int       `json:"deliveries"`
	// They are in the messages First to Last and have these slots. No slots: what fails
	// concerns no particular deliveries, such as the look for what is parked.
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	Slots []int  `json:"slots,omitempty"`
}

// has reports whether a delivery is among them.
func (r *TroubleRetried) has(sequence uint64, slot int) bool {
	return r.First <= sequence && sequence <= r.Last && slices.Contains(r.Slots, slot)
}

// isGeneral reports whether it concerns all that the applier does, as when it cannot
// reach PostgreSQL.
func (r *TroubleRetried) isGeneral() bool { return len(r.Slots) == 0 }

// concerns reports whether a partition waits for them.
func (r *TroubleRetried) concerns(s PartitionState) bool {
	return r.isGeneral() || r.Last > s.Floor && slices.ContainsFunc(r.Slots, s.Has)
}

const (
	// RefreshTrouble is how often an applier says again what still holds.
	RefreshTrouble = 10 * time.Second
	// troubleHolds is how long it is believed.
	troubleHolds = 3 * RefreshTrouble
	// troubleKept is when another applier removes what one left behind that was
	// killed.
	troubleKept = time.Hour

	troublePrefix = "applier."
)

// Notice is where one applier reports its trouble.
type Notice struct {
	conn         *Conn
	applier, key string
}

// Notice returns the place of the applier of that name, such as "host-17".
func (c *Conn) Notice(applier string) *Notice {
	return &Notice{conn: c, applier: applier, key: troublePrefix + unfitForKey.ReplaceAllString(applier, "_")}
}

var unfitForKey = regexp.MustCompile(`[^a-zA-Z0-9_-]`)

// Put says what holds from now on.
func (n *Notice) Put(ctx context.Context, t Trouble) error {
	bucket, err := n.conn.stateBucket(ctx)
	if err != nil {
		return err
	}
	t.Applier = n.applier
	value, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("encode the troubles of an applier: %w", err)
	}
	if _, err := bucket.Put(ctx, n.key, value); err != nil {
		return fmt.Errorf("publish the troubles of %s: %w", n.applier, err)
	}
	return nil
}

// Clear says that nothing holds any more.
func (n *Notice) Clear(ctx context.Context) error {
	bucket, err := n.conn.stateBucket(ctx)
	if err != nil {
		return err
	}
	if err := bucket.Delete(ctx, n.key); err != nil {
		return fmt.Errorf("withdraw the troubles of %s: %w", n.applier, err)
	}
	return nil
}

// Tidy removes what appliers left behind that are gone.
func (n *Notice) Tidy(ctx context.Context) error {
	bucket, err := n.conn.stateBucket(ctx)
	if err != nil {
		return err
	}
	entries, err := latest(ctx, n.conn.js, bucket, troublePrefix)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if time.Since(e.Created()) < troubleKept {
			continue
		}
		if err := bucket.Delete(ctx, e.Key(), jetstream.LastRevision(e.Revision())); err != nil {
			return fmt.Errorf("remove %s: %w", e.Key(), err)
		}
	}
	return bucket.PurgeDeletes(ctx, jetstream.DeleteMarkersOlderThan(troubleKept))
}

// troubles returns what the appliers say that have said it lately.
func (s *Stream) troubles(ctx context.Context, now time.Time) ([]Trouble, error) {
	bucket, err := s.js.KeyValue(ctx, stateBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil // set up by an older version: nothing is known
	}
	if err != nil {
		return nil, fmt.Errorf("open the bucket %s: %w", stateBucket, err)
	}
	entries, err := latest(ctx, s.js, bucket, troublePrefix)
	if err != nil {
		return nil, err
	}
	return believed(entries, now), nil
}

// believed returns what was said lately. An applier that was killed does not
// withdraw what it said.
func believed(entries []jetstream.KeyValueEntry, now time.Time) (all []Trouble) {
	for _, e := range entries {
		var t Trouble
		if now.Sub(e.Created()) > troubleHolds || json.Unmarshal(e.Value(), &t) != nil {
			continue
		}
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b Trouble) int { return strings.Compare(a.Applier, b.Applier) })
	return all
}

// latest returns the values that the keys have that begin so. It makes no consumer, as
// a watch does: not every program may.
func latest(ctx context.Context, js jetstream.JetStream, bucket jetstream.KeyValue, prefix string) ([]jetstream.KeyValueEntry, error) {
	subjects := "$KV." + bucket.Bucket() + "."
	stream, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.Stream, error) {
		return js.Stream(ctx, bucketStreamPrefix+bucket.Bucket())
	})
	if err != nil {
		return nil, fmt.Errorf("read the bucket %s: %w", bucket.Bucket(), err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(subjects+prefix+"*"))
	if err != nil {
		return nil, fmt.Errorf("read the bucket %s: %w", bucket.Bucket(), err)
	}
	var all []jetstream.KeyValueEntry
	for _, subject := range slices.Sorted(maps.Keys(info.State.Subjects)) {
		entry, err := bucket.Get(ctx, strings.TrimPrefix(subject, subjects))
		switch {
		case err == nil:
			all = append(all, entry)
		case !isNoKey(err):
			return nil, fmt.Errorf("read the bucket %s: %w", bucket.Bucket(), err)
		}
	}
	return all, nil
}

// stateBucket opens the bucket of what services tell each other.
func (c *Conn) stateBucket(ctx context.Context) (jetstream.KeyValue, error) {
	bucket, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.KeyValue, error) { return c.js.KeyValue(ctx, stateBucket) })
	if err != nil {
		return nil, fmt.Errorf("open the bucket %s: %w", stateBucket, notSetUp(err))
	}
	return bucket, nil
}
