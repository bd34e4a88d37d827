package postgres

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// importedEpoch says that a position is of a stream elsewhere, which is not known.
const importedEpoch = -1

const insertOutcomesQuery = `
INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, reason, detail, path, user_id, payload_sha256,
    stream_epoch, stream_sequence, stream_index, attempts, replays, received_at, finished_at)
SELECT r.id, r.community, r.webhook_id, r.webhook, r.version, 'failed', r.reason, r.detail, r.path, r.user_id, r.payload_sha256,
    $1, 0, 0, r.attempts, r.replays, r.received_at, r.finished_at
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::uuid[], $11::bytea[],
    $12::bigint[], $13::bigint[], $14::timestamptz[], $15::timestamptz[])
    AS r (id, community, webhook_id, webhook, version, reason, detail, path, user_id, payload_sha256, attempts, replays, received_at, finished_at)
ON CONFLICT DO NOTHING`

func importedOutcomes(letters []*FullDeadLetter) []any {
	var c [14]pg.Array
	for _, d := range letters {
		sum := sha256.Sum256(d.Body.Payload)
		c[0].ID(d.ID)
		c[1].Text(d.Community)
		c[2].Text(d.WebhookID)
		c[3].Text(d.Webhook)
		c[4].Int(int64(d.Version))
		c[5].Text(string(*d.Reason))
		c[6].TextOrNull(*d.Detail)
		c[7].TextOrNull(admin.OrEmpty(d.Path))
		c[8].IDOrNull(userID(d.User))
		c[9].Bytes(sum[:])
		c[10].Int(int64(d.Attempts))
		c[11].Int(int64(d.Replays))
		c[12].Time(d.ReceivedAt)
		c[13].Time(d.FailedAt)
	}
	return columns(importedEpoch, c[:])
}

func userID(u *admin.User) delivery.ID {
	if u == nil {
		return delivery.ID{}
	}
	return u.ID
}

const insertLettersQuery = `
INSERT INTO dead_letters (delivery_id, headers, payload, edited, user_by, user_key, failed_at, method, query)
SELECT r.*
FROM unnest($1::uuid[], $2::json[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::bytea[]) AS r
ON CONFLICT DO NOTHING`

func letterColumns(letters []*FullDeadLetter) []any {
	var c [9]pg.Array
	for _, d := range letters {
		headers, err := json.Marshal(d.Body.Headers)
		if err != nil || d.Body.Headers == nil { // strings always marshal
			headers = []byte("[]")
		}
		c[0].ID(d.ID)
		c[1].JSON(string(headers))
		c[2].Bytes(d.Body.Payload)
		c[3].BytesOrNull(d.Body.Edited)
		c[4].TextOrNull(d.UserBy)
		c[5].TextOrNull(d.UserKey)
		c[6].Time(d.FailedAt)
		c[7].TextOrNull(d.Body.Method)
		c[8].BytesOrNull(queryBytes(d.Body.Query))
	}
	return columns(nil, c[:])
}

const insertExecutionsQuery = `
INSERT INTO executions (delivery_id, execution_id, cause, requested_by, requested_at, note, effect, version, status, outcome, reason,
    detail, path, edited, original, stream_epoch, stream_sequence, stream_index, attempts, at)
SELECT r.delivery_id, r.execution_id, r.cause, r.requested_by, r.requested_at, r.note, r.effect, r.version, r.status, r.outcome, r.reason,
    r.detail, r.path, r.edited, r.original, $1, 0, 0, r.attempts, r.at
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::boolean[], $9::bigint[], $10::text[], $11::text[],
    $12::text[], $13::text[], $14::text[], $15::bytea[], $16::bytea[], $17::bigint[], $18::timestamptz[])
    AS r (delivery_id, execution_id, cause, requested_by, requested_at, note, effect, version, status, outcome, reason,
        detail, path, edited, original, attempts, at)
ON CONFLICT DO NOTHING`

func executionColumns(letters []*FullDeadLetter) []any {
	var c [17]pg.Array
	for _, d := range letters {
		for _, e := range d.Executions {
			c[0].ID(d.ID)
			c[1].ID(e.ID)
			c[2].Text(cmp.Or(string(e.Cause), firstExecution))
			c[3].TextOrNull(e.RequestedBy)
			c[4].TimeOrNull(e.RequestedAt)
			c[5].TextOrNull(e.Note)
			c[6].Bool(e.Effect)
			c[7].Int(int64(e.Version))
			c[8].Text(string(e.Status))
			c[9].TextOrNull(string(e.Outcome))
			c[10].TextOrNull(string(e.Reason))
			c[11].TextOrNull(e.Detail)
			c[12].TextOrNull(e.Path)
			c[13].BytesOrNull(e.Edited)
			c[14].BytesOrNull(e.Original)
			c[15].Int(int64(e.Attempts))
			c[16].Time(e.At)
		}
	}
	return columns(importedEpoch, c[:])
}

// columns returns the parameters of a statement: one that is no column, unless it
// is nil, and the columns.
func columns(first any, arrays []pg.Array) []any {
	var args []any
	if first != nil {
		args = append(args, first)
	}
	for i := range arrays {
		args = append(args, arrays[i].Param())
	}
	return args
}
