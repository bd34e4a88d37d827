package postgres

import (
	"cmp"
	"crypto/sha256"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// importedEpoch is SQL for the epoch of a position in a stream elsewhere, which is not
// known.
const importedEpoch = "-1"

type importedColumns struct {
	ID         pg.Array `column:"delivery_id uuid"`
	Community  pg.Array `column:"community text"`
	WebhookID  pg.Array `column:"webhook_id text"`
	Webhook    pg.Array `column:"webhook text"`
	Version    pg.Array `column:"version bigint"`
	Reason     pg.Array `column:"reason text"`
	Detail     pg.Array `column:"detail text"`
	Path       pg.Array `column:"path text"`
	User       pg.Array `column:"user_id uuid"`
	Payload    pg.Array `column:"payload_sha256 bytea"`
	Attempts   pg.Array `column:"attempts bigint"`
	Replays    pg.Array `column:"replays bigint"`
	ReceivedAt pg.Array `column:"received_at timestamptz"`
	FinishedAt pg.Array `column:"finished_at timestamptz"`
}

var insertOutcomesQuery = `
INSERT INTO outcomes (` + pg.ColumnNames[importedColumns]() + `, status, stream_epoch, stream_sequence, stream_index)
SELECT r.*, 'failed', ` + importedEpoch + `, 0, 0 FROM ` + pg.Unnest[importedColumns]("r", 0) + `
ON CONFLICT DO NOTHING`

func importedOutcomes(letters []*FullDeadLetter) []any {
	var c importedColumns
	for _, d := range letters {
		sum := sha256.Sum256(d.Body.Payload)
		c.ID.ID(d.ID)
		c.Community.Text(d.Community)
		c.WebhookID.Text(d.WebhookID)
		c.Webhook.Text(d.Webhook)
		c.Version.Int(int64(d.Version))
		c.Reason.Text(string(*d.Reason))
		c.Detail.TextOrNull(*d.Detail)
		c.Path.TextOrNull(admin.OrEmpty(d.Path))
		c.User.IDOrNull(admin.OrEmpty(d.User).ID)
		c.Payload.Bytes(sum[:])
		c.Attempts.Int(int64(d.Attempts))
		c.Replays.Int(int64(d.Replays))
		c.ReceivedAt.Time(d.ReceivedAt)
		c.FinishedAt.Time(d.FailedAt)
	}
	return pg.AppendColumns(nil, &c)
}

type letterColumns struct {
	ID       pg.Array `column:"delivery_id uuid"`
	Headers  pg.Array `column:"headers json"`
	Payload  pg.Array `column:"payload bytea"`
	Edited   pg.Array `column:"edited bytea"`
	UserBy   pg.Array `column:"user_by text"`
	UserKey  pg.Array `column:"user_key text"`
	FailedAt pg.Array `column:"failed_at timestamptz"`
	Method   pg.Array `column:"method text"`
	Query    pg.Array `column:"query bytea"`
}

var insertLettersQuery = `
INSERT INTO dead_letters (` + pg.ColumnNames[letterColumns]() + `)
SELECT r.* FROM ` + pg.Unnest[letterColumns]("r", 0) + `
ON CONFLICT DO NOTHING`

func importedLetters(letters []*FullDeadLetter) []any {
	var c letterColumns
	for _, d := range letters {
		c.ID.ID(d.ID)
		c.Headers.JSON(headersJSON(d.Body.Headers))
		c.Payload.Bytes(d.Body.Payload)
		c.Edited.BytesOrNull(d.Body.Edited)
		c.UserBy.TextOrNull(d.UserBy)
		c.UserKey.TextOrNull(d.UserKey)
		c.FailedAt.Time(d.FailedAt)
		c.Method.TextOrNull(d.Body.Method)
		c.Query.BytesOrNull(queryBytes(d.Body.Query))
	}
	return pg.AppendColumns(nil, &c)
}

type executionColumns struct {
	ID          pg.Array `column:"delivery_id uuid"`
	Execution   pg.Array `column:"execution_id uuid"`
	Cause       pg.Array `column:"cause text"`
	RequestedBy pg.Array `column:"requested_by text"`
	RequestedAt pg.Array `column:"requested_at timestamptz"`
	Note        pg.Array `column:"note text"`
	Effect      pg.Array `column:"effect bool"`
	Version     pg.Array `column:"version bigint"`
	Status      pg.Array `column:"status text"`
	Outcome     pg.Array `column:"outcome text"`
	Reason      pg.Array `column:"reason text"`
	Detail      pg.Array `column:"detail text"`
	Path        pg.Array `column:"path text"`
	Edited      pg.Array `column:"edited bytea"`
	Original    pg.Array `column:"original bytea"`
	Attempts    pg.Array `column:"attempts bigint"`
	At          pg.Array `column:"at timestamptz"`
}

var insertExecutionsQuery = `
INSERT INTO executions (` + pg.ColumnNames[executionColumns]() + `, stream_epoch, stream_sequence, stream_index)
SELECT r.*, ` + importedEpoch + `, 0, 0 FROM ` + pg.Unnest[executionColumns]("r", 0) + `
ON CONFLICT DO NOTHING`

func importedExecutions(letters []*FullDeadLetter) []any {
	var c executionColumns
	for _, d := range letters {
		for _, e := range d.Executions {
			c.ID.ID(d.ID)
			c.Execution.ID(e.ID)
			c.Cause.Text(cmp.Or(string(e.Cause), firstExecution))
			c.RequestedBy.TextOrNull(e.RequestedBy)
			c.RequestedAt.TimeOrNull(e.RequestedAt)
			c.Note.TextOrNull(e.Note)
			c.Effect.Bool(e.Effect)
			c.Version.Int(int64(e.Version))
			c.Status.Text(string(e.Status))
			c.Outcome.TextOrNull(string(e.Outcome))
			c.Reason.TextOrNull(string(e.Reason))
			c.Detail.TextOrNull(e.Detail)
			c.Path.TextOrNull(e.Path)
			c.Edited.BytesOrNull(e.Edited)
			c.Original.BytesOrNull(e.Original)
			c.Attempts.Int(int64(e.Attempts))
			c.At.Time(e.At)
		}
	}
	return pg.AppendColumns(nil, &c)
}
