package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Plans of the statements below are kept, and may be made while the tables are empty. A
// join would then scan a whole table, also after the table has grown. LATERAL with
// OFFSET 0 or a lock makes the plan look rows up one by one.

// reads are what a batch may have to read, a bit each.
type reads uint

const (
	readKeys   reads = 1 << iota // idempotency keys
	readOwn                      // the parked rows of the batch
	readFields                   // custom fields
)

// readSets are the sets that have a statement: as a rule, a batch does not pay for what it
// does not ask for.
var readSets = [...]reads{0, readKeys, readFields, readKeys | readFields, readKeys | readOwn | readFields}

// reading is a part of the statement that reads for a batch.
type reading struct {
	only  reads // 0 for one that all have
	types []string
	query string // with the numbers of its parameters to come
}

// readings are the parts. One lookup says whether any row waits for a user; usually none
// does. Limits are read here and not from memory, so that a change holds at once.
var readings = [...]reading{
	{0, []string{"uuid"}, `
SELECT 'outcome', delivery_id, status, coalesce(outcome, ''), coalesce(reason, ''), coalesce(detail, ''), coalesce(path, ''), duplicate_of,
    NULL::bytea, NULL::bytea, NULL::bytea, 0, 0::bigint, 0::bigint, 0, NULL::timestamptz
FROM outcomes
WHERE delivery_id = ANY (%s)`},
	{0, nil, `
SELECT 'removal', NULL, '', '', '', '', '', NULL, NULL, NULL, NULL, epoch, sequence, 0, 0, stored_before FROM removals`},
	{0, []string{"text"}, `
SELECT 'stream', NULL, incarnation, '', '', '', '', NULL, NULL, NULL, NULL, epoch, 0, 0, 0, NULL
FROM stream_epochs WHERE incarnation = ANY (%s)`},
	{0, []string{"bigint", "bigint"}, `
SELECT 'lease', NULL, '', '', '', '', '', NULL, NULL, NULL, NULL, p.generation, p.token, 0, p.partition, NULL
FROM unnest(%s, %s) AS r (generation, partition)
CROSS JOIN LATERAL (
    SELECT * FROM partitions t WHERE t.generation = r.generation AND t.partition = r.partition OFFSET 0
) AS p`},
	{0, nil, `
SELECT 'waiting', NULL, '', '', '', '', '', NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL
WHERE EXISTS (SELECT FROM parked t WHERE t.user_id IS NOT NULL)`},
	{0, []string{"uuid"}, `
SELECT 'balance', user_id, '', currency, '', '', '', NULL, NULL, NULL, NULL, 0, amount, entries, 0, NULL
FROM balances
WHERE user_id = ANY (%s)`},
	{0, []string{"text", "text"}, `
SELECT 'currency', NULL, c.community, c.code, '', '', '', NULL, NULL, NULL, NULL, 0, c.minimum, c.maximum, c.scale, NULL
FROM unnest(%s, %s) AS r (community, code)
CROSS JOIN LATERAL (SELECT * FROM currencies WHERE community = r.community AND code = r.code OFFSET 0) AS c`},
	{readKeys, []string{"text", "bytea"}, `
SELECT 'key', k.delivery_id, k.webhook_id, '', '', '', '', NULL, k.key, k.body_sha256, k.original_sha256, 0, 0, 0, 0, NULL
FROM unnest(%s, %s) AS r (webhook_id, key)
CROSS JOIN LATERAL (
    SELECT * FROM idempotency_keys i WHERE i.webhook_id = r.webhook_id AND i.key = r.key OFFSET 0
) AS k`},
	{readOwn, []string{"uuid", "uuid"}, `
SELECT 'own', p.delivery_id, '', '', '', '', '', p.user_id, uuid_send(p.replay_id), NULL, NULL, 0, 0, 0, 0, NULL
FROM unnest(%s, %s) AS r (delivery_id, replay_id)
CROSS JOIN LATERAL (
    SELECT * FROM parked t WHERE t.delivery_id = r.delivery_id AND t.replay_id = r.replay_id OFFSET 0
) AS p`},
	{readFields, []string{"text", "text"}, `
SELECT 'field', NULL, f.community, f.name, '', '', '', NULL, NULL, NULL, NULL, 0, f.revision, 0, 0, NULL
FROM unnest(%s, %s) AS r (community, name)
CROSS JOIN LATERAL (SELECT * FROM fields WHERE community = r.community AND name = r.name OFFSET 0) AS f`},
}

// readQuery is one statement because that sees one moment: either an outcome or its
// removal, either a parked row or its outcome. It is one round trip, too.
func readQuery(set reads) string {
	var parts []string
	parameter := 0
	for _, r := range readings {
		if r.only != 0 && set&r.only == 0 {
			continue
		}
		var arrays []any
		for _, kind := range r.types {
			parameter++
			arrays = append(arrays, fmt.Sprintf("$%d::%s[]", parameter, kind))
		}
		parts = append(parts, fmt.Sprintf(r.query, arrays...))
	}
	return strings.Join(parts, "\nUNION ALL")
}

// reads returns the set for the batch.
func (w *work) reads() (set reads) {
	if len(w.keys) > 0 {
		set |= readKeys
	}
	if len(w.fields) > 0 {
		set |= readFields
	}
	if slices.ContainsFunc(w.batch, func(item applier.Item) bool { return item.WasParked }) {
		set |= readOwn
	}
	if !slices.Contains(readSets[:], set) {
		set = readSets[len(readSets)-1]
	}
	return set
}

// read reads all of it. The users have to be known.
func (w *work) read(ctx context.Context, statement func(reads) query) error {
	set := w.reads()
	rows, err := statement(set)(ctx, w.readArgs(set)...)
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

// readArgs are in the order of readings. What the batch may change is nothing where none
// of its users exists.
func (w *work) readArgs(set reads) []any {
	var ids, streams, generations, partitions, users, communities, codes pg.Array
	for _, item := range w.batch {
		if item.Delivery.Replay == nil {
			ids.ID(item.Delivery.ID)
		}
	}
	for incarnation := range w.named {
		streams.Text(incarnation)
	}
	for p := range w.tokens {
		generations.Int(int64(p.generation))
		partitions.Int(int64(p.index))
	}
	for _, id := range w.users {
		if id != (delivery.ID{}) {
			users.ID(id)
		}
	}
	if users.Len() > 0 {
		for c := range w.currencies {
			communities.Text(c.community)
			codes.Text(c.name)
		}
	}
	args := []any{ids.Param(), streams.Param(), generations.Param(), partitions.Param(), users.Param(), communities.Param(), codes.Param()}
	if set&readKeys != 0 {
		args = append(args, w.keyArgs()...)
	}
	if set&readOwn != 0 {
		args = append(args, w.ownArgs()...)
	}
	if set&readFields != 0 {
		args = append(args, w.fieldArgs(users.Len() > 0)...)
	}
	return args
}

func (w *work) keyArgs() []any {
	var webhooks, keys pg.Array
	for key := range w.keys {
		webhooks.Text(key.webhook)
		keys.Bytes(key.hash[:])
	}
	return []any{webhooks.Param(), keys.Param()}
}

func (w *work) ownArgs() []any {
	var ids, replays pg.Array
	for _, item := range w.batch {
		if item.WasParked {
			key := parkedKeyOf(item.Delivery)
			ids.ID(key.id)
			replays.ID(key.replay)
		}
	}
	return []any{ids.Param(), replays.Param()}
}

func (w *work) fieldArgs(anyUser bool) []any {
	var communities, names pg.Array
	if anyUser {
		for f := range w.fields {
			communities.Text(f.community)
			names.Text(f.name)
		}
	}
	return []any{communities.Param(), names.Param()}
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
