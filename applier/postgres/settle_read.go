package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Plans of the statements below are kept, and may be made while the tables are
// empty. A join would then read a table from end to end, and go on doing so while
// it grows. LATERAL with OFFSET 0 or a lock makes the plan look rows up one by one.

// Locks are taken in the order of ORDER BY, so that batches which share users
// wait for each other and never deadlock. The communities' locks come before them
// all: the subquery that does not depend on the rows is run first, and once.
const (
	lockUsersQuery = usersByID + `FOR NO KEY UPDATE` + afterCommunities
	findUsersQuery = usersByID + `OFFSET 0` + afterCommunities

	usersByID = `
SELECT u.id, u.community, coalesce(u.email_key, ''), coalesce(u.username_key, '')
FROM (
    SELECT e.id
    FROM unnest($1::text[], $2::text[]) AS k (community, key)
    CROSS JOIN LATERAL (SELECT id FROM users WHERE community = k.community AND email_key = k.key OFFSET 0) AS e
    UNION
    SELECT n.id
    FROM unnest($3::text[], $4::text[]) AS k (community, key)
    CROSS JOIN LATERAL (SELECT id FROM users WHERE community = k.community AND username_key = k.key OFFSET 0) AS n
    ORDER BY id
) AS f
CROSS JOIN LATERAL (SELECT * FROM users WHERE id = f.id `
	afterCommunities = `) AS u
WHERE (
    SELECT count(pg_advisory_xact_lock_shared($5, c.hash))
    FROM (SELECT DISTINCT hashtext(n.name) AS hash FROM unnest($1::text[] || $3::text[]) AS n (name) ORDER BY hash) AS c
) > 0`
)

// missingUsers counts the identifiers that no user is known to have.
func (w *work) missingUsers() (n int) {
	for _, id := range w.users {
		if id == (delivery.ID{}) {
			n++
		}
	}
	return n
}

// checkMissing looks the missing identifiers up again, in a statement of its own.
// The statement that locks users sees identifiers as they were when it began. If it
// waited for a row whose identifier moved to another row meanwhile, it finds
// neither. The transaction begins again then.
func (w *work) checkMissing(ctx context.Context, run query) error {
	missing := w.missingUsers()
	if err := w.readUsers(ctx, run); err != nil {
		return err
	}
	if found := missing - w.missingUsers(); found > 0 {
		return fmt.Errorf("%w: %d users have an identifier now that had another", errOvertaken, found)
	}
	return nil
}

// readUsers looks up the identifiers that no user is known to have.
func (w *work) readUsers(ctx context.Context, run query) error {
	if w.missingUsers() == 0 {
		return nil
	}
	var communities, keys [2]array
	for key, id := range w.users {
		if id != (delivery.ID{}) {
			continue
		}
		n := 0
		if key.by == string(webhook.ByUsername) {
			n = 1
		}
		communities[n].text(key.community)
		keys[n].text(key.key)
	}
	rows, err := run(ctx, communities[0].String(), keys[0].String(), communities[1].String(), keys[1].String(),
		int64(configurationClass))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id idScanner
		var community, email, username string
		if err := rows.Scan(&id, &community, &email, &username); err != nil {
			return err
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

// One statement reads the outcomes of deliveries, who has taken which key, what was
// removed, and the numbers of the streams. An outcome that is removed meanwhile is
// seen, or its removal is.
const knownQuery = `
SELECT delivery_id, status, coalesce(outcome, ''), coalesce(reason, ''), coalesce(detail, ''), coalesce(path, ''), duplicate_of,
    '', NULL::bytea, NULL::bytea, NULL::bytea, 0, 0::bigint, NULL::timestamptz
FROM outcomes
WHERE delivery_id = ANY ($1::uuid[])
UNION ALL
SELECT k.delivery_id, '', '', '', '', '', NULL, k.webhook_id, k.key, k.body_sha256, k.original_sha256, 0, 0, NULL
FROM unnest($2::text[], $3::bytea[]) AS r (webhook_id, key)
CROSS JOIN LATERAL (
    SELECT * FROM idempotency_keys i WHERE i.webhook_id = r.webhook_id AND i.key = r.key OFFSET 0
) AS k
UNION ALL
SELECT NULL, '', '', '', '', '', NULL, '', NULL, NULL, NULL, epoch, sequence, stored_before FROM removals
UNION ALL
SELECT NULL, '', '', '', '', '', NULL, incarnation, NULL, NULL, NULL, epoch, 0, NULL FROM stream_epochs WHERE incarnation = ANY ($4::text[])`

func (w *work) readKnown(ctx context.Context, run query) error {
	var ids, webhooks, keys, streams array
	for _, item := range w.batch {
		if item.Delivery.Replay == nil {
			ids.id(item.Delivery.ID)
		}
	}
	for key := range w.keys {
		webhooks.text(key.webhook)
		keys.bytes(key.hash[:])
	}
	for incarnation := range w.named {
		streams.text(incarnation)
	}
	rows, err := run(ctx, ids.String(), webhooks.String(), keys.String(), streams.String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, duplicateOf idScanner
		var webhookID string
		var hash, body, original []byte
		s := applier.Settlement{Known: true}
		var f delivery.Failure
		var r removal
		var storedBefore sql.NullTime
		if err := rows.Scan(&id, &s.Status, &s.Outcome, &f.Reason, &f.Detail, &f.Path, &duplicateOf, &webhookID, &hash, &body, &original,
			&r.epoch, &r.sequence, &storedBefore); err != nil {
			return err
		}
		if storedBefore.Valid {
			r.storedBefore = storedBefore.Time
			w.removals = append(w.removals, r)
			continue
		}
		if hash == nil && webhookID != "" {
			w.named[webhookID] = r.epoch
			continue
		}
		if hash != nil {
			key, holder := senderKey{webhook: webhookID}, taken{by: delivery.ID(id)}
			copy(key.hash[:], hash)
			copy(holder.body[:], body)
			copy(holder.original[:], original)
			w.keys[key] = holder
			continue
		}
		if s.Status == delivery.Failed {
			s.Failure = &f
		}
		s.DuplicateOf = delivery.ID(duplicateOf)
		w.known[delivery.ID(id)] = s
	}
	return rows.Err()
}

// One statement reads balances, limits and the revisions of custom fields.
// Limits are read here and not from memory, so that a change holds at once.
const stateQuery = `
SELECT 'balance', user_id, '', currency, amount, entries, 0
FROM balances
WHERE user_id = ANY ($1::uuid[])
UNION ALL
SELECT 'currency', NULL, c.community, c.code, c.minimum, c.maximum, c.scale
FROM unnest($2::text[], $3::text[]) AS r (community, code)
CROSS JOIN LATERAL (SELECT * FROM currencies WHERE community = r.community AND code = r.code OFFSET 0) AS c
UNION ALL
SELECT 'field', NULL, f.community, f.name, f.revision, NULL, 0
FROM unnest($4::text[], $5::text[]) AS r (community, name)
CROSS JOIN LATERAL (SELECT * FROM fields WHERE community = r.community AND name = r.name OFFSET 0) AS f`

func (w *work) readState(ctx context.Context, run query) error {
	var ids array
	for _, id := range w.users {
		if id != (delivery.ID{}) {
			ids.id(id)
		}
	}
	if ids.b.Len() == 0 {
		return nil // nothing can be changed
	}
	var communities, names [2]array
	for c := range w.currencies {
		communities[0].text(c.community)
		names[0].text(c.name)
	}
	for f := range w.fields {
		communities[1].text(f.community)
		names[1].text(f.name)
	}
	rows, err := run(ctx, ids.String(), communities[0].String(), names[0].String(), communities[1].String(), names[1].String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var id idScanner
		var at inCommunity
		var first, second sql.Null[int64]
		var scale int
		if err := rows.Scan(&kind, &id, &at.community, &at.name, &first, &second, &scale); err != nil {
			return err
		}
		switch kind {
		case "balance":
			w.book[ledger.Account{User: delivery.ID(id), Currency: at.name}] = ledger.Balance{Amount: first.V, Entries: second.V}
		case "currency":
			w.currencies[at] = &applier.Currency{Code: at.name, Scale: scale, Minimum: orNil(first), Maximum: orNil(second)}
		default:
			w.fields[at] = first.V
		}
	}
	return rows.Err()
}
