package postgres

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// identifierKinds are kinds of identifiers, a bit each.
type identifierKinds uint

const (
	byEmail identifierKinds = 1 << iota
	byUsername
	byExternalID
	byID

	allKinds = byEmail | byUsername | byExternalID | byID
)

// identifierSets are the kinds that a statement looks users up by: nearly all batches
// have one kind, and the fewer parts a statement has, the less it costs to begin.
var identifierSets = [...]identifierKinds{byEmail, byUsername, byExternalID, byID, allKinds}

// identifiers are columns of identifiers of one kind.
type identifiers struct {
	kind    identifierKinds
	types   []string // of the parameters
	columns string
	// user finds a row of users by a row of the columns, k.
	user string
	// id is where the id is found, if it is not in users itself.
	id string
}

var identifiersByKind = [...]identifiers{
	{byEmail, []string{"text", "text"}, "community, key", "community = k.community AND email_key = k.key", ""},
	{byUsername, []string{"text", "text"}, "community, key", "community = k.community AND username_key = k.key", ""},
	{
		byExternalID,
		[]string{"text", "text", "text"},
		"community, kind, value", "id = k.id",
		"SELECT user_id AS id FROM external_ids WHERE community = k.community AND kind = k.kind AND value = k.value OFFSET 0",
	},
	{byID, []string{"text", "uuid"}, "community, id", "id = k.id", ""},
}

// parameters are the columns as arrays, numbered from the one after.
func (i identifiers) parameters(after int) string {
	all := make([]string, len(i.types))
	for n, kind := range i.types {
		all[n] = fmt.Sprintf("$%d::%s[]", after+n+1, kind)
	}
	return strings.Join(all, ", ")
}

// usersQuery finds users by identifiers of these kinds. end is OFFSET 0 or a lock. It
// returns the number of its parameters, too.
//
// Several kinds may name the same user, so their ids come together before a lookup of
// users. Emails, usernames or ids alone need no second lookup.
func usersQuery(kinds identifierKinds, end string) (query string, parameters int) {
	const rows = `
SELECT u.id, u.community, coalesce(u.email_key, ''), coalesce(u.username_key, ''), %s, u.erased_at IS NOT NULL, true
FROM %s
CROSS JOIN LATERAL (SELECT * FROM users WHERE %s %s) AS u`
	external := "NULL::json"
	var ids []string
	for _, i := range identifiersByKind {
		if kinds&i.kind == 0 {
			continue
		}
		from := fmt.Sprintf("unnest(%s) AS k (%s)", i.parameters(parameters), i.columns)
		if i.kind == byExternalID { // a batch of several kinds may have none
			external = fmt.Sprintf("CASE WHEN cardinality($%d::text[]) > 0 THEN "+
				"(SELECT json_object_agg(x.kind, x.value) FROM external_ids x WHERE x.user_id = u.id) END", parameters+1)
		}
		parameters += len(i.types)
		if kinds == i.kind && i.id == "" {
			return fmt.Sprintf(rows, external, from, i.user, end), parameters
		}
		id := i.id
		if id == "" {
			id = "SELECT id FROM users WHERE " + i.user + " OFFSET 0"
		}
		ids = append(ids, "SELECT i.id FROM "+from+" CROSS JOIN LATERAL ("+id+") AS i")
	}
	from := "(\n    " + strings.Join(ids, "\n    UNION\n    ") + "\n) AS k"
	return fmt.Sprintf(rows, external, from, "id = k.id", end), parameters
}

func findUsersQuery(kinds identifierKinds) string {
	query, _ := usersQuery(kinds, "OFFSET 0")
	return query
}

// No lock on a user or community makes a batch wait: deliveries whose lock is taken are
// parked. So these locks need no order. The locks of partitions, for which the batch does
// wait, come first: their subquery does not depend on the rows and runs once, before them.
func lockUsersQuery(kinds identifierKinds) string {
	users, n := usersQuery(kinds, "FOR NO KEY UPDATE SKIP LOCKED")
	return fmt.Sprintf(`-- Locks users. PostgreSQL shows the first 1024 bytes of a statement only.%s
WHERE (SELECT %s) >= 0
UNION ALL
SELECT NULL, c.name, '', '', NULL, false, pg_try_advisory_xact_lock_shared($%d, hashtext(c.name))
FROM unnest($%d::text[]) AS c (name)`, users, sharePartitions(n+1), n+3, n+4)
}

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
	lock := func(which []userKey, partitions any) error {
		return w.readUsers(ctx, chosen(tx, stmts.lockUsers), which, int64(partitionClass), partitions, int64(configurationClass), communitiesOf(which))
	}
	if err := lock(w.keysOf(w.isMissing), w.partitionKeys()); err != nil {
		return err
	}
	// A missing user does not exist, could not be locked, or has an identifier that
	// belonged to another user when the statement began.
	if missing := w.keysOf(w.isMissing); len(missing) > 0 {
		if err := w.readUsers(ctx, chosen(tx, stmts.findUsers), missing); err != nil {
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
		if err := lock(refused, "{}"); err != nil {
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
func (w *work) readUsers(ctx context.Context, statement func(identifierKinds) query, which []userKey, more ...any) error {
	set, args := lookups(which)
	run := statement(set)
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

// communitiesOf are the communities of identifiers, each once.
func communitiesOf(which []userKey) any {
	var names pg.Array
	seen := map[string]bool{}
	for _, key := range which {
		if !seen[key.community] {
			seen[key.community] = true
			names.Text(key.community)
		}
	}
	return names.Param()
}

// lookups returns the set of statements for identifiers, and the identifiers as its
// parameters.
func lookups(which []userKey) (set identifierKinds, args []any) {
	var columns [len(identifiersByKind)][3]pg.Array
	put := func(kind identifierKinds, community string) *[3]pg.Array {
		set |= kind
		of := &columns[bits.TrailingZeros(uint(kind))]
		of[0].Text(community)
		return of
	}
	for _, key := range which {
		kind, external := webhook.UserKey(key.by).ExternalKind()
		switch {
		case external:
			of := put(byExternalID, key.community)
			of[1].Text(kind)
			of[2].Text(key.key)
		case key.by == string(webhook.ByID):
			if id, err := delivery.ParseID(key.key); err == nil {
				put(byID, key.community)[1].ID(id)
			}
		case key.by == string(webhook.ByUsername):
			put(byUsername, key.community)[1].Text(key.key)
		default:
			put(byEmail, key.community)[1].Text(key.key)
		}
	}
	if !slices.Contains(identifierSets[:], set) {
		set = allKinds
	}
	for n, i := range identifiersByKind {
		if set&i.kind == 0 {
			continue
		}
		for c := range i.types {
			args = append(args, columns[n][c].Param())
		}
	}
	return set, args
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
