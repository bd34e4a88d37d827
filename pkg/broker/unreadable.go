package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// readRecord reads the record of the webhook with that id.
func readRecord(id string, value []byte) (webhook.Record, error) {
	rec, err := webhook.ReadRecord(value)
	switch {
	case err != nil:
		return webhook.Record{}, fmt.Errorf("read the webhook %s: %w (%w)", id, ErrUnreadable, err)
	case rec.ID != id || !webhook.IsID(id): // else one key could speak for another webhook
		return webhook.Record{}, fmt.Errorf("read the webhook %s: %w (it names the webhook %q)", id, ErrUnreadable, rec.ID)
	}
	return rec, nil
}

// Unreadable is a key of a webhook whose newest value cannot be read.
type Unreadable struct {
	ID string // as the key names it; it may have any form
	// Err says why, and is an ErrUnreadable.
	Err error
}

// Unreadable returns what List and Deleted leave out.
func (d *Definitions) Unreadable(ctx context.Context) ([]Unreadable, error) {
	bucket, err := d.bucket(ctx)
	if err != nil {
		return nil, err
	}
	var all []Unreadable
	err = eachEntry(ctx, bucket, definitionKey(">"), func(entry jetstream.KeyValueEntry) error {
		id := strings.TrimPrefix(entry.Key(), definitionPrefix)
		if _, err := decodeSaved(id, entry.Value(), entry.Revision()); err != nil {
			all = append(all, Unreadable{id, err})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the webhooks: %w", err)
	}
	return all, nil
}

// DeleteUnreadable replaces a record that cannot be read by a deleted webhook. So its
// history keeps a name, and Undelete finds the version before. It returns
// ErrWebhookNotFound if there is no such record, and removes a key that names no webhook.
func (d *Definitions) DeleteUnreadable(ctx context.Context, id string, now time.Time) (Saved, error) {
	bucket, err := d.bucket(ctx)
	if err != nil {
		return Saved{}, err
	}
	entry, err := bucket.Get(ctx, definitionKey(id))
	if isNoKey(err) || errors.Is(err, jetstream.ErrInvalidKey) {
		return Saved{}, ErrWebhookNotFound
	}
	if err != nil {
		return Saved{}, fmt.Errorf("read the webhook %s: %w", id, err)
	}
	if _, err := decodeSaved(id, entry.Value(), entry.Revision()); err == nil {
		return Saved{}, ErrWebhookNotFound
	}
	gone := Saved{Record: webhook.Record{ID: id}}
	if !webhook.IsID(id) {
		return gone, d.purge(ctx, definitionKey(id), 0)
	}
	if gone.Record, err = lastReadable(ctx, d.conn, id); err != nil {
		return Saved{}, err
	}
	gone.Version++
	gone.Format, gone.UpdatedAt, gone.DeletedAt = gone.LeastFormat(), now, &now
	gone.APIKeys, gone.AESKeys = nil, nil
	value, err := json.Marshal(gone.Record)
	if err != nil {
		return Saved{}, fmt.Errorf("encode a webhook: %w", err)
	}
	gone.Revision, err = bucket.Update(ctx, definitionKey(id), value, entry.Revision())
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return Saved{}, ErrConflict
	}
	if err != nil {
		return Saved{}, fmt.Errorf("save the webhook %s: %w", id, err)
	}
	return gone, nil
}

// lastReadable returns the newest version that can be read and saved again. Where
// none is left it makes one up.
func lastReadable(ctx context.Context, c *Conn, id string) (webhook.Record, error) {
	kept, _, err := readVersions(ctx, c, id)
	if err != nil {
		return webhook.Record{}, fmt.Errorf("read the versions of %s: %w", id, err)
	}
	for _, v := range kept {
		if v.Newer == nil {
			return v.Record, nil
		}
	}
	return webhook.Record{ID: id, Definition: webhook.Definition{
		Name: id, Community: "default", State: webhook.Disabled, Encryption: webhook.NoEncryption,
	}}, nil
}
