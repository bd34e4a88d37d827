package postgres

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// importedEpoch says that a position is of a stream elsewhere, which is not known.
const importedEpoch = -1

const insertOutcomesQuery = `
INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, reason, detail, path, user_id, payload_sha256,
    stream_epoch, stream_sequence, stream_index, attempts, replays, received_at, finished_at)
SELECT r.id, r.community, r.webhook_id, r.webhook, r.version, 'failed', r.reason, r.detail, r.path, r.user_id, r.payload_sha256,
    $1, 0, 0, r.attempts, r.replays, r.received_at, r.finished_at
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[], $9::text[], $10::uuid[], $11::bytea[],
    $12::int[], $13::int[], $14::timestamptz[], $15::timestamptz[])
    AS r (id, community, webhook_id, webhook, version, reason, detail, path, user_id, payload_sha256, attempts, replays, received_at, finished_at)
ON CONFLICT DO NOTHING`

func importedOutcomes(letters []*FullDeadLetter) []any {
	var c [14]array
	for _, d := range letters {
		sum := sha256.Sum256(d.Body.Payload)
		c[0].id(d.ID)
		c[1].text(d.Community)
		c[2].text(d.WebhookID)
		c[3].text(d.Webhook)
		c[4].int(int64(d.Version))
		c[5].text(string(d.Reason))
		c[6].textOrNull(d.Detail)
		c[7].textOrNull(d.Path)
		c[8].idOrNull(userID(d.User))
		c[9].bytes(sum[:])
		c[10].int(int64(d.Attempts))
		c[11].int(int64(d.Replays))
		c[12].time(d.ReceivedAt)
		c[13].time(d.FailedAt)
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
	var c [9]array
	for _, d := range letters {
		headers, err := json.Marshal(d.Body.Headers)
		if err != nil || d.Body.Headers == nil { // strings always marshal
			headers = []byte("[]")
		}
		c[0].id(d.ID)
		c[1].text(string(headers))
		c[2].bytes(d.Body.Payload)
		c[3].bytesOrNull(d.Body.Edited)
		c[4].textOrNull(d.UserBy)
		c[5].textOrNull(d.UserKey)
		c[6].time(d.FailedAt)
		c[7].textOrNull(d.Body.Method)
		c[8].bytesOrNull(queryBytes(d.Body.Query))
	}
	return columns(nil, c[:])
}

const insertExecutionsQuery = `
INSERT INTO executions (delivery_id, execution_id, cause, requested_by, requested_at, note, effect, version, status, outcome, reason,
    detail, path, edited, original, stream_epoch, stream_sequence, stream_index, attempts, at)
SELECT r.delivery_id, r.execution_id, r.cause, r.requested_by, r.requested_at, r.note, r.effect, r.version, r.status, r.outcome, r.reason,
    r.detail, r.path, r.edited, r.original, $1, 0, 0, r.attempts, r.at
FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::boolean[], $9::int[], $10::text[], $11::text[],
    $12::text[], $13::text[], $14::text[], $15::bytea[], $16::bytea[], $17::int[], $18::timestamptz[])
    AS r (delivery_id, execution_id, cause, requested_by, requested_at, note, effect, version, status, outcome, reason,
        detail, path, edited, original, attempts, at)
ON CONFLICT DO NOTHING`

func executionColumns(letters []*FullDeadLetter) []any {
	var c [17]array
	for _, d := range letters {
		for _, e := range d.Executions {
			c[0].id(d.ID)
			c[1].id(e.ID)
			c[2].text(cmp.Or(string(e.Cause), firstExecution))
			c[3].textOrNull(e.RequestedBy)
			c[4].timeOrNull(e.RequestedAt)
			c[5].textOrNull(e.Note)
			c[6].bool(e.Effect)
			c[7].int(int64(e.Version))
			c[8].text(string(e.Status))
			c[9].textOrNull(string(e.Outcome))
			c[10].textOrNull(string(e.Reason))
			c[11].textOrNull(e.Detail)
			c[12].textOrNull(e.Path)
			c[13].bytesOrNull(e.Edited)
			c[14].bytesOrNull(e.Original)
			c[15].int(int64(e.Attempts))
			c[16].time(e.At)
		}
	}
	return columns(importedEpoch, c[:])
}

// columns returns the parameters of a statement: one that is no column, unless it
// is nil, and the columns.
func columns(first any, arrays []array) []any {
	var args []any
	if first != nil {
		args = append(args, first)
	}
	for i := range arrays {
		args = append(args, arrays[i].String())
	}
	return args
}
