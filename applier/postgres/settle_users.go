package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Nobody's lock on a user or a community makes a batch wait: the deliveries that
// cannot have theirs are parked. So locks have no order, except that those of
// partitions, which are waited for, come first: the subquery that does not depend on
// the rows is run before them, and once.
const (
	lockUsersQuery = usersByID + `FOR NO KEY UPDATE SKIP LOCKED) AS u
WHERE (SELECT ` + sharePartitions + `) >= 0
UNION ALL
SELECT NULL, c.name, '', '', pg_try_advisory_xact_lock_shared($5, hashtext(c.name))
FROM (SELECT DISTINCT n.name FROM unnest($1::text[] || $3::text[]) AS n (name)) AS c`

	findUsersQuery = usersByID + `OFFSET 0) AS u`

	usersByID = `
SELECT u.id, u.community, coalesce(u.email_key, ''), coalesce(u.username_key, ''), true
FROM (
    SELECT e.id
    FROM unnest($1::text[], $2::text[]) AS k (community, key)
    CROSS JOIN LATERAL (SELECT id FROM users WHERE community = k.community AND email_key = k.key OFFSET 0) AS e
    UNION
    SELECT n.id
    FROM unnest($3::text[], $4::text[]) AS k (community, key)
    CROSS JOIN LATERAL (SELECT id FROM users WHERE community = k.community AND username_key = k.key OFFSET 0) AS n
) AS f
CROSS JOIN LATERAL (SELECT * FROM users WHERE id = f.id `
)

// patience bounds how long a batch waits for the users and communities that it could
// not lock. Most locks end with their transaction in a few milliseconds. Parking costs
// more than that, and the user's next deliveries are parked, too. A batch that waited
// and got no lock makes the store park at once for waitAgain.
type patience struct {
	lasts time.Duration

	mu        sync.Mutex
	exhausted time.Time
}

const (
	waitForLocks = 50 * time.Millisecond
	waitAgain    = 2 * time.Second
)

// lost reports whether a batch that began to wait at a time waits no longer.
func (p *patience) lost(begun time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(begun) >= p.lasts {
		p.exhausted = now
	}
	return now.Sub(p.exhausted) < waitAgain
}

// lockUsers locks the partitions, the users, and the communities that the batch names.
// Afterwards w.refuses tells the users that exist and are somebody else's.
func (w *work) lockUsers(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements) error {
	w.locked, w.busy = map[delivery.ID]bool{}, map[string]bool{}
	if len(w.users) == 0 {
		return w.lockPartitions(ctx, tx, stmts)
	}
	lock := tx.StmtxContext(ctx, stmts.lockUsers).QueryContext
	if err := w.readUsers(ctx, lock, w.keysOf(w.isMissing), int64(configurationClass), w.partitionKeys(), int64(partitionClass)); err != nil {
		return err
	}
	// A user that is missing now does not exist, could not be locked, or has an
	// identifier that was another user's when the statement began.
	if missing := w.keysOf(w.isMissing); len(missing) > 0 {
		find := tx.StmtxContext(ctx, stmts.findUsers).QueryContext
		if err := w.readUsers(ctx, find, missing); err != nil {
			return err
		}
	}
	begun := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 10*time.Millisecond) {
		refused := w.keysOf(w.refuses)
		if len(refused) == 0 {
			return nil
		}
		// The first time is for identifiers that have moved.
		if err := w.readUsers(ctx, lock, refused, int64(configurationClass), "{}", int64(partitionClass)); err != nil {
			return err
		}
		w.someRefused = len(w.keysOf(w.refuses)) > 0
		if !w.someRefused || stmts.patience.lost(begun) {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isMissing reports whether no user is known to have the identifier.
func (w *work) isMissing(key userKey) bool { return w.users[key] == (delivery.ID{}) }

// refuses reports whether a user exists and could not be locked, or its community.
func (w *work) refuses(key userKey) bool {
	return !w.isMissing(key) && w.locked != nil && (!w.locked[w.users[key]] || w.busy[key.community])
}

func (w *work) keysOf(which func(userKey) bool) (keys []userKey) {
	for key := range w.users {
		if which(key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// readUsers looks identifiers up. A statement that locks users says of each community
// whether it could be locked.
func (w *work) readUsers(ctx context.Context, run query, which []userKey, more ...any) error {
	var communities, keys [2]array
	for _, key := range which {
		n := 0
		if key.by == string(webhook.ByUsername) {
			n = 1
		}
		communities[n].text(key.community)
		keys[n].text(key.key)
	}
	args := []any{communities[0].String(), keys[0].String(), communities[1].String(), keys[1].String()}
	rows, err := run(ctx, append(args, more...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id idScanner
		var community, email, username string
		var locked bool
		if err := rows.Scan(&id, &community, &email, &username, &locked); err != nil {
			return err
		}
		if id == (idScanner{}) {
			w.busy[community] = !locked
			continue
		}
		if len(more) > 0 {
			w.locked[delivery.ID(id)] = true
		}
		for _, key := range []userKey{
			{by: string(webhook.ByEmail), community: community, key: email},
			{by: string(webhook.ByUsername), community: community, key: username},
		} {
			if _, asked := w.users[key]; asked {
				w.users[key] = delivery.ID(id)
			}
		}
	}
	return rows.Err()
}
