package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// Rows that another applier deletes at this moment, or that a batch looks at,
// are skipped: cleaning waits for nobody, and nobody waits for it.
const deleteKeysQuery = `
DELETE FROM idempotency_keys
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency_keys
    WHERE created_at < now() - $1 * interval '1 microsecond'
    ORDER BY created_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
))`

// DeleteKeys deletes idempotency keys that are older than that, some at once, and
// says how many.
func (s *Store) DeleteKeys(ctx context.Context, olderThan time.Duration, atMost int) (deleted int, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, deleteKeysQuery, olderThan.Microseconds(), atMost)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		deleted = int(n)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("delete old idempotency keys: %w", err)
	}
	return deleted, nil
}
