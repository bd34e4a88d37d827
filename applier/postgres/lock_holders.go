package postgres

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const lockedUsersQuery = `
SELECT DISTINCT user_id FROM (
    SELECT user_id FROM parked WHERE webhook_id = $1 AND reason = 'user_locked' ORDER BY delivery_id LIMIT $2
) p WHERE user_id IS NOT NULL`

// LockedUsers returns users whom parked deliveries of a webhook wait for, by the oldest
// deliveries.
func (s *Store) LockedUsers(ctx context.Context, webhookID string, deliveries int) ([]delivery.ID, error) {
	users, err := pg.QueryIDs(ctx, s.db, lockedUsersQuery, webhookID, deliveries)
	return users, pg.Wrap(err, "look for users that are locked")
}

// LockHolder is a database session that may hold the row of a user.
type LockHolder struct {
	PID         int
	Application string
	Role        string
	Client      string    // its address, empty where that is not to be seen
	State       string    // such as "idle in transaction", empty where that is not to be seen
	Since       time.Time // its transaction, zero where that is not to be seen
}

// The transaction that has locked a row alone is in the row's xmax. Where several have
// it, xmax names them together, and all transactions that hold locks on users for a
// while are candidates. A role that may not see other sessions sees less of them.
const lockHoldersQuery = `
WITH holders AS (
    SELECT l.pid FROM pg_locks l
    WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted
        AND l.transactionid IN (SELECT u.xmax FROM users u WHERE u.id = ANY ($1::uuid[]))
),
candidates AS (
    SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'relation' AND l.relation = 'users'::regclass AND l.granted AND l.mode <> 'AccessShareLock'
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND coalesce(a.xact_start < clock_timestamp() - interval '1 second', true)
)
SELECT DISTINCT a.pid, coalesce(a.application_name, ''), coalesce(a.usename, ''), coalesce(host(a.client_addr), ''), coalesce(a.state, ''), a.xact_start
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid()
    AND (a.pid IN (SELECT pid FROM holders) OR NOT EXISTS (SELECT 1 FROM holders) AND a.pid IN (SELECT pid FROM candidates))
ORDER BY a.xact_start NULLS LAST, a.pid
LIMIT 10`

// LockHolders returns the sessions that hold the rows of these users, as far as the
// database tells.
func (s *Store) LockHolders(ctx context.Context, users []delivery.ID) (all []LockHolder, err error) {
	all, err = pg.Collect(ctx, s.db, lockHoldersQuery, func(scan pg.Scan, h *LockHolder) error {
		return scan(&h.PID, &h.Application, &h.Role, &h.Client, &h.State, (*pg.Time)(&h.Since))
	}, pg.IDs(users))
	return all, pg.Wrap(err, "look for who holds a user")
}
