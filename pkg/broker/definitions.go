package broker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// The bucket has three kinds of keys: a webhook's record, a claim on a name, and a
// rewritten version. A claim's value is the id of the webhook that has the name.
const (
	definitionPrefix = "webhook."
	namePrefix       = "name."
)

var (
	ErrWebhookNotFound = errors.New("no such webhook")
	ErrNameTaken       = errors.New("another webhook has this name")
	// ErrConflict: somebody saved the webhook after it was read.
	ErrConflict = errors.New("somebody else has saved this webhook meanwhile: read it again")
	// ErrNewer: a newer version of Coinhook saved the webhook with parts that this
	// one does not know and would lose.
	ErrNewer = errors.New("a newer version of Coinhook has saved this webhook: update this program")
)

// ErrUnreadable: the value of a webhook's key is not a record of that webhook.
// Coinhook did not save it.
var ErrUnreadable = errors.New("it is not a record of this webhook: remove it with `coinhook webhooks delete ID`")

// Saved is a record and the revision it was saved as.
type Saved struct {
	webhook.Record
	Revision uint64
	// Newer is an ErrNewer where this version must not save the record, else nil.
	Newer error
}

// Definitions reads and saves webhooks.
type Definitions struct{ conn *Conn }

// NewDefinitions returns the webhooks kept in the broker.
func NewDefinitions(c *Conn) *Definitions { return &Definitions{conn: c} }

func definitionKey(id string) string { return definitionPrefix + id }

// nameKey hashes the name, because a name may have characters that a key may not.
func nameKey(community, name string) string {
	sum := sha256.Sum256([]byte(community + "\x00" + name))
	return namePrefix + hex.EncodeToString(sum[:16])
}

func (d *Definitions) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	bucket, err := d.conn.bucket(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the bucket %s: %w", webhooksBucket, notSetUp(err))
	}
	return bucket, nil
}

// Get returns a webhook by id; a deleted one too.
func (d *Definitions) Get(ctx context.Context, id string) (Saved, error) {
	bucket, err := d.bucket(ctx)
	if err != nil {
		return Saved{}, err
	}
	if !webhook.IsID(id) {
		return Saved{}, ErrWebhookNotFound
	}
	entry, err := bucket.Get(ctx, definitionKey(id))
	if isNoKey(err) {
		return Saved{}, ErrWebhookNotFound
	}
	if err != nil {
		return Saved{}, fmt.Errorf("read the webhook %s: %w", id, err)
	}
	return decodeSaved(id, entry.Value(), entry.Revision())
}

// Find returns a webhook that is not deleted, by id, or by name within a
// community.
func (d *Definitions) Find(ctx context.Context, community, nameOrID string) (Saved, error) {
	if webhook.IsID(nameOrID) {
		saved, err := d.Get(ctx, nameOrID)
		if err == nil && saved.DeletedAt != nil {
			return Saved{}, ErrWebhookNotFound
		}
		return saved, err
	}
	bucket, err := d.bucket(ctx)
	if err != nil {
		return Saved{}, err
	}
	claim, err := bucket.Get(ctx, nameKey(community, nameOrID))
	if isNoKey(err) {
		return Saved{}, ErrWebhookNotFound
	}
	if err != nil {
		return Saved{}, fmt.Errorf("look up the name %q: %w", nameOrID, err)
	}
	saved, err := d.Get(ctx, string(claim.Value()))
	if err == nil && !holds(saved, community, nameOrID) {
		return Saved{}, ErrWebhookNotFound
	}
	return saved, err
}

// holds reports whether a claim on the name is good: its webhook may never have
// been saved, or have been deleted since.
func holds(s Saved, community, name string) bool {
	return s.DeletedAt == nil && s.Community == community && s.Name == name
}

// List returns all webhooks that are not deleted, in no order.
func (d *Definitions) List(ctx context.Context) ([]Saved, error) {
	return d.list(ctx, func(s Saved) bool { return s.DeletedAt == nil })
}

// Deleted returns the webhooks that are deleted, in no order.
func (d *Definitions) Deleted(ctx context.Context) ([]Saved, error) {
	return d.list(ctx, func(s Saved) bool { return s.DeletedAt != nil })
}

func (d *Definitions) list(ctx context.Context, wanted func(Saved) bool) ([]Saved, error) {
	bucket, err := d.bucket(ctx)
	if err != nil {
		return nil, err
	}
	var all []Saved
	err = eachEntry(ctx, bucket, definitionKey(">"), func(entry jetstream.KeyValueEntry) error {
		id := strings.TrimPrefix(entry.Key(), definitionPrefix)
		saved, err := decodeSaved(id, entry.Value(), entry.Revision())
		switch {
		case err != nil: // one record must not take all others away
			d.conn.log.Warn().Err(err).Str("webhook_id", id).Uint64("revision", entry.Revision()).Msg("left a webhook out of a list")
		case wanted(saved):
			all = append(all, saved)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the webhooks: %w", err)
	}
	return all, nil
}

// Create saves a new webhook as version 1. The name is claimed first, so that
// two admins cannot both create it.
func (d *Definitions) Create(ctx context.Context, rec webhook.Record, now time.Time) (Saved, error) {
	bucket, err := d.bucket(ctx)
	if err != nil {
		return Saved{}, err
	}
	if err := d.claim(ctx, bucket, rec); err != nil {
		return Saved{}, err
	}
	rec.Format, rec.Version, rec.CreatedAt, rec.UpdatedAt = rec.LeastFormat(), 1, now, now
	value, err := json.Marshal(rec)
	if err != nil {
		return Saved{}, fmt.Errorf("encode a webhook: %w", err)
	}
	revision, err := bucket.Create(ctx, definitionKey(rec.ID), value)
	if err != nil {
		return Saved{}, fmt.Errorf("save the webhook %q: %w", rec.Name, err)
	}
	return Saved{Record: rec, Revision: revision}, nil
}

// claim takes the name, from nobody or from a webhook that does not hold it any
// more. The compare-and-set makes one of two contenders lose.
func (d *Definitions) claim(ctx context.Context, bucket jetstream.KeyValue, rec webhook.Record) error {
	key := nameKey(rec.Community, rec.Name)
	_, err := bucket.Create(ctx, key, []byte(rec.ID))
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return fmt.Errorf("claim the name %q: %w", rec.Name, err)
	}
	claim, err := bucket.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("claim the name %q: %w", rec.Name, err)
	}
	holder, err := d.Get(ctx, string(claim.Value()))
	// A deleted holder that claimed the name after its deletion is being undeleted.
	gives := holder.DeletedAt != nil && claim.Revision() < holder.Revision
	mayCome := errors.Is(err, ErrWebhookNotFound) || err == nil && !gives && holder.ID != rec.ID
	switch {
	case err == nil && holder.ID != rec.ID && holds(holder, rec.Community, rec.Name):
		return fmt.Errorf("%w: %s", ErrNameTaken, holder.ID)
	case mayCome && time.Since(claim.Created()) < claimGrace:
		// Its holder may be between claiming the name and saving the webhook.
		return fmt.Errorf("%w, or gets it at this moment: wait %s, and try again", ErrNameTaken, claimGrace)
	case err != nil && !errors.Is(err, ErrWebhookNotFound):
		return err
	}
	if _, err := bucket.Update(ctx, key, []byte(rec.ID), claim.Revision()); err != nil {
		if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return fmt.Errorf("%w, or gets it at this moment", ErrNameTaken)
		}
		return fmt.Errorf("claim the name %q: %w", rec.Name, err)
	}
	return nil
}

// Rename saves the next version of a webhook, with another name. The name is claimed
// first. The claim on the old one stays, and is good for nothing: see holds.
func (d *Definitions) Rename(ctx context.Context, s Saved, name string, now time.Time) (Saved, error) {
	if s.Newer != nil { // before anything is claimed
		return Saved{}, fmt.Errorf("nothing was saved: %w", s.Newer)
	}
	bucket, err := d.bucket(ctx)
	if err != nil {
		return Saved{}, err
	}
	s.Name = name
	if err := d.claim(ctx, bucket, s.Record); err != nil {
		return Saved{}, err
	}
	return d.Update(ctx, s, now)
}

// Undelete saves the next version of a deleted webhook, as it was before. The name is
// claimed first: another webhook may have it by now.
func (d *Definitions) Undelete(ctx context.Context, deleted Saved, before webhook.Record, now time.Time) (Saved, error) {
	if deleted.Newer != nil { // before anything is claimed
		return Saved{}, fmt.Errorf("nothing was saved: %w", deleted.Newer)
	}
	bucket, err := d.bucket(ctx)
	if err != nil {
		return Saved{}, err
	}
	if err := d.claim(ctx, bucket, before); err != nil {
		return Saved{}, err
	}
	before.Version, before.DeletedAt = deleted.Version, nil
	return d.Update(ctx, Saved{Record: before, Revision: deleted.Revision}, now)
}

// claimGrace is how long a claim is respected whose webhook does not have the name.
const claimGrace = 10 * time.Second

// Update saves the next version of a webhook that was read at a revision. It
// returns ErrConflict if it has another revision by now, and ErrNewer if what was
// read holds more than this version knows.
func (d *Definitions) Update(ctx context.Context, s Saved, now time.Time) (Saved, error) {
	if s.Newer != nil {
		return Saved{}, fmt.Errorf("nothing was saved: %w", s.Newer)
	}
	bucket, err := d.bucket(ctx)
	if err != nil {
		return Saved{}, err
	}
	s.Version++
	s.Format, s.UpdatedAt = s.LeastFormat(), now
	value, err := json.Marshal(s.Record)
	if err != nil {
		return Saved{}, fmt.Errorf("encode a webhook: %w", err)
	}
	revision, err := bucket.Update(ctx, definitionKey(s.ID), value, s.Revision)
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return Saved{}, ErrConflict
	}
	if err != nil {
		return Saved{}, fmt.Errorf("save the webhook %q: %w", s.Name, err)
	}
	s.Revision = revision
	return s, nil
}

func decodeSaved(id string, value []byte, revision uint64) (Saved, error) {
	rec, err := readRecord(id, value)
	if err != nil {
		return Saved{}, err
	}
	saved := Saved{Record: rec, Revision: revision}
	if err := webhook.CheckWritable(value); err != nil {
		saved.Newer = fmt.Errorf("%w (%q: %w)", ErrNewer, rec.Name, err)
	}
	return saved, nil
}

func isNoKey(err error) bool {
	return errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrKeyDeleted)
}
