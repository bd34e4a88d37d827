package postgres

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// keysLook is how many old keys one statement looks at, as those that stay may be very
// many. It is more than one transaction makes: these have one time.
const keysLook = 5000

// Rows that another applier deletes at this moment, or that a batch reads, are skipped:
// cleaning waits for nobody, and nobody waits for it. A key stays as long as a dead letter
// has it: without the key, a replay of the dead letter would take effect a second time. A
// webhook with parked deliveries keeps all of its keys, because each of them may be a
// retry.
const deleteKeysQuery = `
WITH old AS MATERIALIZED (
    SELECT ctid, webhook_id, key, created_at FROM idempotency_keys
    WHERE created_at >= $3 AND created_at < now() - $1 * interval '1 microsecond'
    ORDER BY created_at LIMIT $4
), free AS MATERIALIZED (
    SELECT ctid, created_at FROM old i
    WHERE NOT EXISTS (SELECT FROM dead_letters d WHERE d.webhook_id = i.webhook_id AND d.key = i.key OFFSET 0)
        AND NOT EXISTS (SELECT FROM parked p WHERE p.webhook_id = i.webhook_id OFFSET 0)
    LIMIT $2
), gone AS (
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM free)) FOR UPDATE SKIP LOCKED
    ))
    RETURNING created_at
)
SELECT (SELECT count(*) FROM gone), f.count = $2 OR o.count = $4, coalesce(CASE WHEN f.count = $2 THEN f.last ELSE o.last END, $3)
FROM (SELECT count(*), max(created_at) AS last FROM free) f, (SELECT count(*), max(created_at) AS last FROM old) o`

// DeletedKeys are those of one statement, and what is left for others.
type DeletedKeys struct {
	Count int
	// More says that there may be more old keys, made at Next or later.
	More bool
	Next time.Time
}

// DeleteKeys deletes old idempotency keys that were made at a time or later, at most so
// many. It keeps the keys of dead letters and of webhooks with parked deliveries.
func (s *Store) DeleteKeys(ctx context.Context, olderThan time.Duration, from time.Time, atMost int) (deleted DeletedKeys, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		return tx.QueryRowContext(ctx, deleteKeysQuery, olderThan.Microseconds(), atMost, from, keysLook).
			Scan(&deleted.Count, &deleted.More, &deleted.Next)
	})
	return deleted, pg.Wrap(err, "delete old idempotency keys")
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
