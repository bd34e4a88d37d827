package postgres

import (
	"context"
	"crypto/sha256"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Keys are kept as hashes: see mapping.newKey.
const keyedQuery = `
WITH first AS (
    SELECT delivery_id FROM idempotency_keys WHERE webhook_id = ANY ($1::text[]) AND key = $2
), keyed AS (
    SELECT delivery_id FROM first
    UNION SELECT o.delivery_id FROM outcomes o JOIN first f ON o.duplicate_of = f.delivery_id
    UNION SELECT delivery_id FROM dead_letters WHERE webhook_id = ANY ($1::text[]) AND key = $2
)
SELECT delivery_id FROM keyed ORDER BY delivery_id DESC LIMIT $3`

// Keyed returns the deliveries of these webhooks that came with an idempotency key,
// newest first, as long as the key is kept.
func (s *Store) Keyed(ctx context.Context, webhookIDs []string, key string, limit int) ([]delivery.ID, error) {
	hash := sha256.Sum256([]byte(key))
	ids, err := pg.QueryIDs(ctx, s.db, keyedQuery, pq.StringArray(webhookIDs), hash[:], limit)
	return ids, pg.Wrap(err, "find deliveries by their key")
}
