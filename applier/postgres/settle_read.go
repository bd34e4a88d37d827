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
// numbers of the streams, the tokens of leases, the parked rows of the batch, and the
// balances, limits and custom fields that it may change. One statement sees one moment:
// either an outcome or its removal, either a parked row or its outcome. It is one round
// trip, too. One lookup says whether any row waits for a user; usually none does.
//
// Limits are read here and not from memory, so that a change holds at once.
const readQuery = `
SELECT 'outcome', delivery_id, status, coalesce(outcome, ''), coalesce(reason, ''), coalesce(detail, ''), coalesce(path, ''), duplicate_of,
    NULL::bytea, NULL::bytea, NULL::bytea, 0, 0::bigint, 0::bigint, 0, NULL::timestamptz
FROM outcomes
WHERE delivery_id = ANY ($1::uuid[])
UNION ALL
SELECT 'key', k.delivery_id, k.webhook_id, '', '', '', '', NULL, k.key, k.body_sha256, k.original_sha256, 0, 0, 0, 0, NULL
FROM unnest($2::text[], $3::bytea[]) AS r (webhook_id, key)
CROSS JOIN LATERAL (
    SELECT * FROM idempotency_keys i WHERE i.webhook_id = r.webhook_id AND i.key = r.key OFFSET 0
) AS k
UNION ALL
SELECT 'removal', NULL, '', '', '', '', '', NULL, NULL, NULL, NULL, epoch, sequence, 0, 0, stored_before FROM removals
UNION ALL
SELECT 'stream', NULL, incarnation, '', '', '', '', NULL, NULL, NULL, NULL, epoch, 0, 0, 0, NULL
FROM stream_epochs WHERE incarnation = ANY ($4::text[])
UNION ALL
SELECT 'lease', NULL, '', '', '', '', '', NULL, NULL, NULL, NULL, p.generation, p.token, 0, p.partition, NULL
FROM unnest($5::bigint[], $6::bigint[]) AS r (generation, partition)
CROSS JOIN LATERAL (
    SELECT * FROM partitions t WHERE t.generation = r.generation AND t.partition = r.partition OFFSET 0
) AS p
UNION ALL
SELECT 'own', p.delivery_id, '', '', '', '', '', p.user_id, uuid_send(p.replay_id), NULL, NULL, 0, 0, 0, 0, NULL
FROM unnest($7::uuid[], $8::uuid[]) AS r (delivery_id, replay_id)
CROSS JOIN LATERAL (
    SELECT * FROM parked t WHERE t.delivery_id = r.delivery_id AND t.replay_id = r.replay_id OFFSET 0
) AS p
UNION ALL
SELECT 'waiting', NULL, '', '', '', '', '', NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL
WHERE EXISTS (SELECT FROM parked t WHERE t.user_id IS NOT NULL)
UNION ALL
SELECT 'balance', user_id, '', currency, '', '', '', NULL, NULL, NULL, NULL, 0, amount, entries, 0, NULL
FROM balances
WHERE user_id = ANY ($9::uuid[])
UNION ALL
SELECT 'currency', NULL, c.community, c.code, '', '', '', NULL, NULL, NULL, NULL, 0, c.minimum, c.maximum, c.scale, NULL
FROM unnest($10::text[], $11::text[]) AS r (community, code)
CROSS JOIN LATERAL (SELECT * FROM currencies WHERE community = r.community AND code = r.code OFFSET 0) AS c
UNION ALL
SELECT 'field', NULL, f.community, f.name, '', '', '', NULL, NULL, NULL, NULL, 0, f.revision, 0, 0, NULL
FROM unnest($12::text[], $13::text[]) AS r (community, name)
CROSS JOIN LATERAL (SELECT * FROM fields WHERE community = r.community AND name = r.name OFFSET 0) AS f`

// read reads all of it. The users have to be known.
func (w *work) read(ctx context.Context, run query) error {
	rows, err := run(ctx, append(w.knownArgs(), w.stateArgs()...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r readRow
		if err := rows.Scan(&r.kind, &r.id, &r.of, &r.name, &r.reason, &r.detail, &r.path, &r.other,
			&r.hash, &r.body, &r.original, &r.epoch, &r.first, &r.second, &r.index, &r.storedBefore); err != nil {
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
		ids.Param(), webhooks.Param(), keys.Param(), streams.Param(), generations.Param(), partitions.Param(),
		own.Param(), ownReplays.Param(),
	}
}

// stateArgs are what the batch may change: nothing where none of its users exists.
func (w *work) stateArgs() []any {
	var users pg.Array
	for _, id := range w.users {
		if id != (delivery.ID{}) {
			users.ID(id)
		}
	}
	var communities, names [2]pg.Array
	if users.Len() > 0 {
		for c := range w.currencies {
			communities[0].Text(c.community)
			names[0].Text(c.name)
		}
		for f := range w.fields {
			communities[1].Text(f.community)
			names[1].Text(f.name)
		}
	}
	return []any{users.Param(), communities[0].Param(), names[0].Param(), communities[1].Param(), names[1].Param()}
}

// readRow is a row of readQuery. Its kind says which of the other columns are set, and
// what they are.
type readRow struct {
	kind                 string
	id, other            pg.ID
	of, name             string
	reason, detail, path string
	hash, body, original []byte
	epoch                int64
	first, second        sql.Null[int64]
	index                int
	storedBefore         sql.NullTime
}

func (w *work) learn(r *readRow) {
	switch r.kind {
	case "outcome":
		w.known[delivery.ID(r.id)] = r.settlement()
	case "key":
		key, holder := senderKey{webhook: r.of}, ledger.Taken{By: delivery.ID(r.id)}
		copy(key.hash[:], r.hash)
		copy(holder.Body[:], r.body)
		copy(holder.Original[:], r.original)
		w.keys[key] = holder
	case "removal":
		w.removals = append(w.removals, removal{epoch: r.epoch, sequence: r.first.V, storedBefore: r.storedBefore.Time})
	case "stream":
		w.named[r.of] = r.epoch
	case "lease":
		w.tokens[partition{int(r.epoch), r.index}] = r.first.V
	case "own":
		w.own[r.parkedKey()] = delivery.ID(r.other)
	case "waiting":
		w.usersWait = true
	case "balance":
		w.book[ledger.Account{User: delivery.ID(r.id), Currency: r.name}] = ledger.Balance{Amount: r.first.V, Entries: r.second.V}
	case "currency":
		w.currencies[inCommunity{r.of, r.name}] = &applier.Currency{
			Code: r.name, Scale: r.index, Minimum: pg.OrNil(r.first), Maximum: pg.OrNil(r.second),
		}
	case "field":
		w.fields[inCommunity{r.of, r.name}] = r.first.V
	}
}

func (r *readRow) settlement() applier.Settlement {
	s := applier.Settlement{
		Known: true, Status: delivery.Status(r.of), Outcome: delivery.Outcome(r.name), DuplicateOf: delivery.ID(r.other),
	}
	if s.Status == delivery.Failed {
		s.Failure = &delivery.Failure{Reason: delivery.Reason(r.reason), Detail: r.detail, Path: r.path}
	}
	return s
}

func (r *readRow) parkedKey() parkedKey {
	key := parkedKey{id: delivery.ID(r.id)}
	copy(key.replay[:], r.hash)
	return key
}
