package postgres

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Rows that another applier deletes at this moment, or that a batch reads, are skipped:
// cleaning waits for nobody, and nobody waits for it. A key stays as long as a dead letter
// has it: without the key, a replay of the dead letter would take effect a second time. A
// webhook with parked deliveries keeps all of its keys, because each of them may be a
// retry.
const deleteKeysQuery = `
DELETE FROM idempotency_keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys i
    WHERE created_at < now() - $1 * interval '1 microsecond'
        AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.webhook_id = i.webhook_id AND d.key = i.key OFFSET 0)
        AND NOT EXISTS (SELECT FROM parked p WHERE p.webhook_id = i.webhook_id OFFSET 0)
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
))`

// DeleteKeys deletes old idempotency keys, at most so many, and returns how many. It
// keeps the keys of dead letters and of webhooks with parked deliveries.
func (s *Store) DeleteKeys(ctx context.Context, olderThan time.Duration, atMost int) (deleted int, err error) {
	rows, err := s.exec(ctx, deleteKeysQuery, olderThan.Microseconds(), atMost)
	return int(rows), pg.Wrap(err, "delete old idempotency keys")
}

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
