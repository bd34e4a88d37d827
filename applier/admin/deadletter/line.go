package deadletter

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// line is one dead letter in an export. Bytes that are no text are in the member
// whose name ends with base64.
type line struct {
	ID            delivery.ID       `json:"id"`
	Community     string            `json:"community"`
	WebhookID     string            `json:"webhook_id"`
	Webhook       string            `json:"webhook"`
	Version       int               `json:"version"`
	Reason        delivery.Reason   `json:"reason"`
	Detail        string            `json:"detail"`
	Path          string            `json:"path,omitzero"`
	Headers       []delivery.Header `json:"headers"`
	Method        string            `json:"method,omitzero"`
	Query         *string           `json:"query,omitzero"`
	QueryBase64   []byte            `json:"query_base64,omitzero"`
	Payload       *string           `json:"payload,omitzero"`
	PayloadBase64 []byte            `json:"payload_base64,omitzero"`
	PayloadSHA256 string            `json:"payload_sha256"`
	Edited        *string           `json:"edited,omitzero"`
	EditedBase64  []byte            `json:"edited_base64,omitzero"`
	UserID        delivery.ID       `json:"user_id,omitzero"`
	UserBy        string            `json:"user_by,omitzero"`
	UserKey       string            `json:"user_key,omitzero"`
	Attempts      int               `json:"attempts"`
	Replays       int               `json:"replays"`
	ReceivedAt    time.Time         `json:"received_at"`
	FailedAt      time.Time         `json:"failed_at"`
	Executions    []execution       `json:"executions"`
}

// execution is one run in an export.
type execution struct {
	ID             delivery.ID      `json:"id"`
	Cause          delivery.Cause   `json:"cause"`
	RequestedBy    string           `json:"requested_by,omitzero"`
	RequestedAt    time.Time        `json:"requested_at,omitzero"`
	Note           string           `json:"note,omitzero"`
	Effect         bool             `json:"effect"`
	Version        int              `json:"version"`
	Status         delivery.Status  `json:"status"`
	Outcome        delivery.Outcome `json:"outcome,omitzero"`
	Reason         delivery.Reason  `json:"reason,omitzero"`
	Detail         string           `json:"detail,omitzero"`
	Path           string           `json:"path,omitzero"`
	Edited         *string          `json:"edited,omitzero"`
	EditedBase64   []byte           `json:"edited_base64,omitzero"`
	Original       *string          `json:"original,omitzero"`
	OriginalBase64 []byte           `json:"original_base64,omitzero"`
	Attempts       int              `json:"attempts"`
	At             time.Time        `json:"at"`
}

// encode writes a dead letter as a line. The same letter is the same bytes.
func encode(d postgres.FullDeadLetter) ([]byte, error) {
	sum := sha256.Sum256(d.Body.Payload)
	l := line{
		ID: d.ID, Community: d.Community, WebhookID: d.WebhookID, Webhook: d.Webhook, Version: d.Version,
		Reason: *d.Reason, Detail: *d.Detail, Path: admin.OrEmpty(d.Path), Headers: d.Body.Headers, PayloadSHA256: hex.EncodeToString(sum[:]),
		UserBy: d.UserBy, UserKey: d.UserKey, Attempts: d.Attempts, Replays: d.Replays,
		ReceivedAt: d.ReceivedAt.UTC(), FailedAt: d.FailedAt.UTC(), Executions: make([]execution, len(d.Executions)),
	}
	if d.User != nil {
		l.UserID = d.User.ID
	}
	if l.Method = d.Body.Method; d.Body.Query != "" {
		l.Query, l.QueryBase64 = admin.TextOrBytes([]byte(d.Body.Query))
	}
	l.Payload, l.PayloadBase64 = admin.TextOrBytes(d.Body.Payload)
	l.Edited, l.EditedBase64 = admin.TextOrBytes(d.Body.Edited)
	for i, e := range d.Executions {
		l.Executions[i] = encodeExecution(e)
	}
	text, err := json.Marshal(l)
	return append(text, '\n'), err
}

func encodeExecution(e postgres.Execution) execution {
	x := execution{
		ID: e.ID, Cause: cmp.Or(e.Cause, history.FirstDelivery), RequestedBy: e.RequestedBy, Note: e.Note, Effect: e.Effect,
		Version: e.Version, Status: e.Status, Outcome: e.Outcome, Reason: e.Reason, Detail: e.Detail, Path: e.Path,
		RequestedAt: e.RequestedAt.UTC(), Attempts: e.Attempts, At: e.At.UTC(),
	}
	x.Edited, x.EditedBase64 = admin.TextOrBytes(e.Edited)
	x.Original, x.OriginalBase64 = admin.TextOrBytes(e.Original)
	return x
}
