package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// The clock is read once, after all locks are held. A row that is there already
// is a violation of a key: an insert waits for a transaction that is still
// committing the same key, and ON CONFLICT would cost a second look at the index.
const writeQuery = `
WITH clock AS MATERIALIZED (
    SELECT clock_timestamp() AS now
), outcome AS (
    INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, outcome, reason, detail, path,
        user_id, payload_sha256, stream_sequence, stream_index, attempts, received_at, finished_at)
    SELECT r.*, clock.now
    FROM clock, unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
        $11::uuid[], $12::bytea[], $13::bigint[], $14::int[], $15::int[], $16::timestamptz[]) AS r
    RETURNING 1
), log AS (
    INSERT INTO gamification_logs (delivery_id, ordinal, user_id, currency, number, operator, amount, balance, webhook_id, action, at)
    SELECT r.*, clock.now
    FROM clock, unnest($17::uuid[], $18::smallint[], $19::uuid[], $20::text[], $21::bigint[], $22::text[], $23::bigint[], $24::bigint[],
        $25::text[], $26::text[]) AS r
    RETURNING 1
), balance AS (
    INSERT INTO balances (user_id, currency, amount, entries, updated_at)
    SELECT r.*, clock.now
    FROM clock, unnest($27::uuid[], $28::text[], $29::bigint[], $30::bigint[]) AS r
    ON CONFLICT (user_id, currency) DO UPDATE
    SET amount = excluded.amount, entries = excluded.entries, updated_at = excluded.updated_at
    WHERE balances.entries < excluded.entries
    RETURNING 1
), dead_letter AS (
    INSERT INTO dead_letters (delivery_id, headers, payload)
    SELECT * FROM unnest($31::uuid[], $32::json[], $33::bytea[])
    RETURNING 1
)
SELECT (SELECT count(*) FROM outcome), (SELECT count(*) FROM log), (SELECT count(*) FROM balance), (SELECT count(*) FROM dead_letter)`

// rows are what a batch writes, column by column.
type rows struct {
	outcomes, logs, balances, deadLetters int
	touched                               map[ledger.Account]struct{}

	outcome    [16]array
	log        [10]array
	account    [4]array
	deadLetter [3]array
}

func (r *rows) add(item applier.Item, s applier.Settlement, user delivery.ID, entries []ledger.Entry) {
	r.addOutcome(item, s, user)
	for i, e := range entries {
		r.addLog(item, i+1, e)
	}
	if s.Status == delivery.Failed {
		r.addDeadLetter(item.Delivery)
	}
}

func (r *rows) addOutcome(item applier.Item, s applier.Settlement, user delivery.ID) {
	r.outcomes++
	d, f := item.Delivery, s.Failure
	if f == nil {
		f = &delivery.Failure{}
	}
	community, name, version := "", "", 0
	if item.Webhook != nil {
		community, name, version = item.Webhook.Community, item.Webhook.Name, item.Webhook.Version
	}
	sum := sha256.Sum256(d.Body)
	c := &r.outcome
	c[0].id(d.ID)
	c[1].text(community)
	c[2].text(d.WebhookID)
	c[3].text(name)
	c[4].int(int64(version))
	c[5].text(string(s.Status))
	c[6].textOrNull(string(s.Outcome))
	c[7].textOrNull(string(f.Reason))
	c[8].textOrNull(f.Detail)
	c[9].textOrNull(f.Path)
	c[10].idOrNull(user)
	c[11].bytes(sum[:])
	c[12].int(int64(d.Position.Sequence))
	c[13].int(int64(d.Position.Index))
	c[14].int(int64(d.Attempt))
	c[15].time(d.ReceivedAt)
}

func (r *rows) addLog(item applier.Item, ordinal int, e ledger.Entry) {
	r.logs++
	if r.touched == nil {
		r.touched = map[ledger.Account]struct{}{}
	}
	r.touched[e.Account] = struct{}{}
	c := &r.log
	c[0].id(item.Delivery.ID)
	c[1].int(int64(ordinal))
	c[2].id(e.User)
	c[3].text(e.Currency)
	c[4].int(e.Number)
	c[5].text(string(e.Operator))
	c[6].int(e.Amount)
	c[7].int(e.Balance)
	c[8].text(item.Delivery.WebhookID)
	c[9].text(item.Webhook.Name)
}

func (r *rows) balance(account ledger.Account, b ledger.Balance) {
	r.balances++
	c := &r.account
	c[0].id(account.User)
	c[1].text(account.Currency)
	c[2].int(b.Amount)
	c[3].int(b.Entries)
}

func (r *rows) addDeadLetter(d *delivery.Delivery) {
	r.deadLetters++
	headers, err := json.Marshal(d.Headers)
	if err != nil || d.Headers == nil { // strings always marshal
		headers = []byte("[]")
	}
	c := &r.deadLetter
	c[0].id(d.ID)
	c[1].text(string(headers))
	c[2].bytes(d.Body)
}

// errOvertaken is no fault of the batch: run again, it finds what is known.
var errOvertaken = errors.New("another applier was faster")

// write sends all rows. A key that is taken, or counts that are not the expected
// ones, mean that another applier settled some of the batch meanwhile: the
// transaction is rolled back, and the next try finds those known.
func (w *work) write(ctx context.Context, stmt *sqlx.Stmt) error {
	r := &w.rows
	if r.outcomes == 0 {
		return nil
	}
	args := make([]any, 0, 33)
	for _, columns := range [][]array{r.outcome[:], r.log[:], r.account[:], r.deadLetter[:]} {
		for i := range columns {
			args = append(args, columns[i].String())
		}
	}
	want := [4]int{r.outcomes, r.logs, r.balances, r.deadLetters}
	var got [4]int
	err := stmt.QueryRowContext(ctx, args...).Scan(&got[0], &got[1], &got[2], &got[3])
	if taken := pq.As(err, pqerror.UniqueViolation); taken != nil {
		return fmt.Errorf("%w: %s is taken", errOvertaken, taken.Constraint)
	}
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%w: wrote %v rows of outcomes, logs, balances and dead letters instead of %v", errOvertaken, got, want)
	}
	return nil
}
