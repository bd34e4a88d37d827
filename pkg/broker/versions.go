package broker

import (
	"context"
	"fmt"
)

// Versions returns the saves of a webhook that the bucket still has, newest
// first; it keeps 64. Those of a deleted webhook are among them.
func (d *Definitions) Versions(ctx context.Context, id string) ([]Saved, error) {
	bucket, err := d.bucket(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := bucket.History(ctx, definitionKey(id))
	if isNoKey(err) {
		return nil, ErrWebhookNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read the versions of %s: %w", id, err)
	}
	versions := make([]Saved, 0, len(entries))
	for i := len(entries) - 1; i >= 0; i-- {
		saved, err := decodeSaved(entries[i])
		if err != nil {
			return nil, err
		}
		versions = append(versions, saved)
	}
	return versions, nil
}
