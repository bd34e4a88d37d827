package postgrestest

import (
	"database/sql"
	"encoding/json"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Parked is a parked row, for tests of those who read it.
type Parked struct {
	ID, Replay         delivery.ID // no replay where that is zero
	Webhook, Community string
	Reason             applier.ParkReason
	User               delivery.ID
	At                 time.Time // of receiving, storing and parking; now if zero
	Sequence           uint64
	Body               string
	Headers            []delivery.Header
}

// Park writes parked rows, in the order of the stream where no sequence is given.
func Park(tb testing.TB, db *sql.DB, all ...Parked) {
	tb.Helper()
	for i, r := range all {
		var user any
		if r.User != (delivery.ID{}) {
			user = r.User.String()
		}
		if r.At.IsZero() {
			r.At = time.Now()
		}
		if r.Sequence == 0 {
			r.Sequence = uint64(i) + 1 // it is not negative
		}
		if r.Headers == nil {
			r.Headers = []delivery.Header{}
		}
		headers, err := json.Marshal(r.Headers)
		if err != nil {
			tb.Fatal(err)
		}
		_, err = db.ExecContext(tb.Context(), `
INSERT INTO parked (delivery_id, replay_id, slot, webhook_id, community, reason, detail, user_id,
    stream_epoch, stream_sequence, stream_index, stored_at, received_at, attempts, revision, headers, payload, parked_at)
VALUES ($1, $2, 1, $3, $4, $5, 'because', $6, 1, $7, 0, $8, $8, 1, 1, $9, $10, $8)`,
			r.ID.String(), r.Replay.String(), r.Webhook, r.Community, string(r.Reason), user, r.Sequence, r.At, string(headers), []byte(r.Body))
		if err != nil {
			tb.Fatal(err)
		}
	}
}
