package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// No lock on a user or community makes a batch wait: deliveries whose lock is taken are
// parked. So these locks need no order. The locks of partitions, for which the batch does
// wait, come first: their subquery does not depend on the rows and runs once, before them.
const (
	lockUsersQuery = "-- Locks users. PostgreSQL shows the first 1024 bytes of a statement only." + usersByID + `FOR NO KEY UPDATE SKIP LOCKED) AS u
WHERE (SELECT ` + sharePartitions + `) >= 0
UNION ALL
SELECT NULL, c.name, '', '', NULL, false, pg_try_advisory_xact_lock_shared($10, hashtext(c.name))
FROM (SELECT DISTINCT n.name FROM unnest($1::text[] || $3::text[] || $5::text[] || $8::text[]) AS n (name)) AS c`

	findUsersQuery = usersByID + `OFFSET 0) AS u`

	usersByID = `
SELECT u.id, u.community, coalesce(u.email_key, ''), coalesce(u.username_key, ''),
    CASE WHEN cardinality($5::text[]) > 0 THEN (SELECT json_object_agg(x.kind, x.value) FROM external_ids x WHERE x.user_id = u.id) END, u.erased_at IS NOT NULL, true
FROM (
    SELECT e.id
    FROM unnest($1::text[], $2::text[]) AS k (community, key)
    CROSS JOIN LATERAL (SELECT id FROM users WHERE community = k.community AND email_key = k.key OFFSET 0) AS e
    UNION
    SELECT n.id
    FROM unnest($3::text[], $4::text[]) AS k (community, key)
    CROSS JOIN LATERAL (SELECT id FROM users WHERE community = k.community AND username_key = k.key OFFSET 0) AS n
    UNION
    SELECT x.user_id
    FROM unnest($5::text[], $6::text[], $7::text[]) AS k (community, kind, value)
    CROSS JOIN LATERAL (SELECT user_id FROM external_ids WHERE community = k.community AND kind = k.kind AND value = k.value OFFSET 0) AS x
    UNION
    SELECT i.id FROM unnest($8::text[], $9::uuid[]) AS i (community, id)
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

// lost reports whether a batch that began to wait at that time gives up.
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
// Afterwards w.refuses names the users that exist and are locked by others.
func (w *work) lockUsers(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements) error {
	w.locked, w.busy = map[delivery.ID]bool{}, map[string]bool{}
	if len(w.users) == 0 {
		return w.lockPartitions(ctx, tx, stmts)
	}
	lock := tx.StmtxContext(ctx, stmts.lockUsers).QueryContext
	if err := w.readUsers(ctx, lock, w.keysOf(w.isMissing), int64(configurationClass), w.partitionKeys(), int64(partitionClass)); err != nil {
		return err
	}
	// A missing user does not exist, could not be locked, or has an identifier that
	// belonged to another user when the statement began.
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
	args := make([]any, 0, 9+len(more))
	for _, column := range lookups(which) {
		args = append(args, column.Param())
	}
	rows, err := run(ctx, append(args, more...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id pg.ID
		var community, email, username string
		var external []byte
		var erased, locked bool
		if err := rows.Scan(&id, &community, &email, &username, &external, &erased, &locked); err != nil {
			return err
		}
		if id == (pg.ID{}) {
			w.busy[community] = !locked
			continue
		}
		if len(more) > 0 {
			w.locked[delivery.ID(id)] = true
		}
		if erased {
			continue // it is nobody any more
		}
		if err := w.found(delivery.ID(id), community, email, username, external); err != nil {
			return err
		}
	}
	return rows.Err()
}

// lookups writes identifiers as columns: emails and usernames with their communities,
// external ids with community and kind, and users' ids.
func lookups(which []userKey) (columns [9]pg.Array) {
	for _, key := range which {
		kind, external := webhook.UserKey(key.by).ExternalKind()
		switch {
		case external:
			columns[4].Text(key.community)
			columns[5].Text(kind)
			columns[6].Text(key.key)
		case key.by == string(webhook.ByID):
			if id, err := delivery.ParseID(key.key); err == nil {
				columns[7].Text(key.community)
				columns[8].ID(id)
			}
		case key.by == string(webhook.ByUsername):
			columns[2].Text(key.community)
			columns[3].Text(key.key)
		default:
			columns[0].Text(key.community)
			columns[1].Text(key.key)
		}
	}
	return columns
}

// found takes over the identifiers of a user that were asked for. external is JSON, by
// kind, and empty where none was asked for.
func (w *work) found(id delivery.ID, community, email, username string, external []byte) error {
	keys := []userKey{
		{by: string(webhook.ByEmail), community: community, key: email},
		{by: string(webhook.ByUsername), community: community, key: username},
		{by: string(webhook.ByID), community: community, key: id.String()},
	}
	values, err := externalIDs(external)
	if err != nil {
		return err
	}
	for kind, value := range values {
		keys = append(keys, userKey{by: string(webhook.External(kind)), community: community, key: value})
	}
	for _, key := range keys {
		if _, asked := w.users[key]; asked {
			w.users[key] = id
		}
	}
	return nil
}
