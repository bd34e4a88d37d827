package postgres

import (
	"context"
	"database/sql"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Plans of the statements below are kept, and may be made while the tables are empty. A
// join would then scan a whole table, also after the table has grown. LATERAL with
// OFFSET 0 or a lock makes the plan look rows up one by one.

// One statement reads the outcomes of deliveries, the taken keys, the removals, the
// numbers of the streams, the tokens of leases, and the parked rows of the batch. One
// statement sees one moment: either an outcome or its removal, either a parked row or its
// outcome. One lookup says whether any row waits for a user; usually none does.
const knownQuery = `
SELECT 'outcome', delivery_id, status, coalesce(outcome, ''), coalesce(reason, ''), coalesce(detail, ''), coalesce(path, ''), duplicate_of,
    '', NULL::bytea, NULL::bytea, NULL::bytea, 0, 0::bigint, 0, NULL::timestamptz
FROM outcomes
WHERE delivery_id = ANY ($1::uuid[])
UNION ALL
SELECT 'key', k.delivery_id, '', '', '', '', '', NULL, k.webhook_id, k.key, k.body_sha256, k.original_sha256, 0, 0, 0, NULL
FROM unnest($2::text[], $3::bytea[]) AS r (webhook_id, key)
CROSS JOIN LATERAL (
    SELECT * FROM idempotency_keys i WHERE i.webhook_id = r.webhook_id AND i.key = r.key OFFSET 0
) AS k
UNION ALL
SELECT 'removal', NULL, '', '', '', '', '', NULL, '', NULL, NULL, NULL, epoch, sequence, 0, stored_before FROM removals
UNION ALL
SELECT 'stream', NULL, '', '', '', '', '', NULL, incarnation, NULL, NULL, NULL, epoch, 0, 0, NULL FROM stream_epochs WHERE incarnation = ANY ($4::text[])
UNION ALL
SELECT 'lease', NULL, '', '', '', '', '', NULL, '', NULL, NULL, NULL, p.generation, p.token, p.partition, NULL
FROM unnest($5::int[], $6::int[]) AS r (generation, partition)
CROSS JOIN LATERAL (
    SELECT * FROM partitions t WHERE t.generation = r.generation AND t.partition = r.partition OFFSET 0
) AS p
UNION ALL
SELECT 'own', p.delivery_id, '', '', '', '', '', p.user_id, '', uuid_send(p.replay_id), NULL, NULL, 0, 0, 0, NULL
FROM unnest($7::uuid[], $8::uuid[]) AS r (delivery_id, replay_id)
CROSS JOIN LATERAL (
    SELECT * FROM parked t WHERE t.delivery_id = r.delivery_id AND t.replay_id = r.replay_id OFFSET 0
) AS p
UNION ALL
SELECT 'waiting', NULL, '', '', '', '', '', NULL, '', NULL, NULL, NULL, 0, 0, 0, NULL
WHERE EXISTS (SELECT FROM parked t WHERE t.user_id IS NOT NULL)`

func (w *work) readKnown(ctx context.Context, run query) error {
	rows, err := run(ctx, w.knownArgs()...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r knownRow
		if err := rows.Scan(&r.kind, &r.id, &r.status, &r.outcome, &r.f.Reason, &r.f.Detail, &r.f.Path, &r.other,
			&r.text, &r.hash, &r.body, &r.original, &r.epoch, &r.sequence, &r.index, &r.storedBefore); err != nil {
			return err
		}
		w.learn(&r)
	}
	return rows.Err()
}

func (w *work) knownArgs() []any {
	var ids, webhooks, keys, streams, generations, partitions, own, ownReplays pg.Array
	for _, item := range w.batch {
		if item.Delivery.Replay == nil {
			ids.ID(item.Delivery.ID)
		}
		if item.WasParked {
			key := parkedKeyOf(item.Delivery)
			own.ID(key.id)
			ownReplays.ID(key.replay)
		}
	}
	for key := range w.keys {
		webhooks.Text(key.webhook)
		keys.Bytes(key.hash[:])
	}
	for incarnation := range w.named {
		streams.Text(incarnation)
	}
	for p := range w.tokens {
		generations.Int(int64(p.generation))
		partitions.Int(int64(p.index))
	}
	return []any{
		ids.String(), webhooks.String(), keys.String(), streams.String(), generations.String(), partitions.String(),
		own.String(), ownReplays.String(),
	}
}

// knownRow is a row of knownQuery. Its kind says which of the other columns are set.
type knownRow struct {
	kind                 string
	id, other            pg.ID
	status               delivery.Status
	outcome              delivery.Outcome
	f                    delivery.Failure
	text                 string
	hash, body, original []byte
	epoch, sequence      int64
	index                int
	storedBefore         sql.NullTime
}

func (w *work) learn(r *knownRow) {
	switch r.kind {
	case "outcome":
		s := applier.Settlement{Known: true, Status: r.status, Outcome: r.outcome, DuplicateOf: delivery.ID(r.other)}
		if s.Status == delivery.Failed {
			s.Failure = &r.f
		}
		w.known[delivery.ID(r.id)] = s
	case "key":
		key, holder := senderKey{webhook: r.text}, ledger.Taken{By: delivery.ID(r.id)}
		copy(key.hash[:], r.hash)
		copy(holder.Body[:], r.body)
		copy(holder.Original[:], r.original)
		w.keys[key] = holder
	case "removal":
		w.removals = append(w.removals, removal{epoch: r.epoch, sequence: r.sequence, storedBefore: r.storedBefore.Time})
	case "stream":
		w.named[r.text] = r.epoch
	case "lease":
		w.tokens[partition{int(r.epoch), r.index}] = r.sequence
	case "own":
		w.own[r.parkedKey()] = delivery.ID(r.other)
	case "waiting":
		w.usersWait = true
	}
}

func (r *knownRow) parkedKey() parkedKey {
	key := parkedKey{id: delivery.ID(r.id)}
	copy(key.replay[:], r.hash)
	return key
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
	var ids pg.Array
	for _, id := range w.users {
		if id != (delivery.ID{}) {
			ids.ID(id)
		}
	}
	if ids.IsEmpty() {
		return nil // nothing can be changed
	}
	var communities, names [2]pg.Array
	for c := range w.currencies {
		communities[0].Text(c.community)
		names[0].Text(c.name)
	}
	for f := range w.fields {
		communities[1].Text(f.community)
		names[1].Text(f.name)
	}
	rows, err := run(ctx, ids.String(), communities[0].String(), names[0].String(), communities[1].String(), names[1].String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind string
		var id pg.ID
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
			w.currencies[at] = &applier.Currency{Code: at.name, Scale: scale, Minimum: pg.OrNil(first), Maximum: pg.OrNil(second)}
		default:
			w.fields[at] = first.V
		}
	}
	return rows.Err()
}
