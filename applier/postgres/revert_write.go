package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// undoRows are what a batch of reverts writes, column by column.
type undoRows struct {
	reverts, logs, balances, history, values, removed undoTable

	accounts map[ledger.Account]struct{}
	fields   map[userField]struct{}
}

type undoTable struct {
	count   int
	columns [maxColumns]array
}

func (t *undoTable) next() *[maxColumns]array {
	t.count++
	return &t.columns
}

func (r *undoRows) addRevert(id delivery.ID) { r.reverts.next()[0].id(id) }

func (r *undoRows) addLog(t *target, ordinal int64, e ledger.Entry) {
	if r.accounts == nil {
		r.accounts = map[ledger.Account]struct{}{}
	}
	r.accounts[e.Account] = struct{}{}
	c := r.logs.next()
	c[0].id(t.id)
	c[1].int(ordinal)
	c[2].id(e.User)
	c[3].text(e.Currency)
	c[4].int(e.Number)
	c[5].text(string(e.Operator))
	c[6].int(e.Amount)
	c[7].int(e.Balance)
	c[8].text(t.webhookID)
	c[9].text(revertAction(t))
}

// revertAction is what a log calls the taking back of a webhook's effect.
func revertAction(t *target) string { return "Revert: " + t.action }

// addField records that a custom field goes back to a value, or to none.
func (r *undoRows) addField(t *target, f fieldSet, next ledger.FieldValue) {
	if r.fields == nil {
		r.fields = map[userField]struct{}{}
	}
	r.fields[f.userField] = struct{}{}
	c := r.history.next()
	c[0].id(t.id)
	c[1].int(-f.ordinal)
	c[2].id(f.user)
	c[3].text(f.field)
	if next.By == (delivery.ID{}) {
		c[4].null()
	} else {
		c[4].text(next.Text)
	}
	c[5].int(f.At.Epoch)
	c[6].int(int64(f.At.Sequence))
	c[7].int(int64(f.At.Index))
	c[8].text(t.webhookID)
	c[9].text(revertAction(t))
}

// finish adds what is one row however many deliveries of the batch change it.
func (r *undoRows) finish(u *undoing) {
	for account := range r.accounts {
		b, c := u.book[account], r.balances.next()
		c[0].id(account.User)
		c[1].text(account.Currency)
		c[2].int(b.Amount)
		c[3].int(b.Entries)
	}
	for key := range r.fields {
		v, table := u.holders[key], &r.values
		if v.By == (delivery.ID{}) {
			table = &r.removed
		}
		c := table.next()
		c[0].id(key.user)
		c[1].text(key.field)
		if v.By == (delivery.ID{}) {
			continue
		}
		c[2].text(v.Text)
		c[3].id(v.By)
		c[4].int(v.At.Epoch)
		c[5].int(int64(v.At.Sequence))
		c[6].int(int64(v.At.Index))
	}
}

// undoParts are the tables that a revert writes to. "rows" stands for the arrays
// of the batch, one a column.
var undoParts = [...]struct{ types, query string }{
	{"uuid", `
INSERT INTO reverts (delivery_id, reverted_by, note, at)
SELECT r.*, $1::text, $2::text, clock.now FROM clock, rows AS r`},
	{"uuid smallint uuid text bigint text bigint bigint text text", `
INSERT INTO gamification_logs (delivery_id, ordinal, user_id, currency, number, operator, amount, balance, webhook_id, action, at)
SELECT r.*, clock.now FROM clock, rows AS r`},
	{"uuid text bigint bigint", `
UPDATE balances b SET amount = r.amount, entries = r.entries, updated_at = clock.now
FROM clock, rows AS r (user_id, currency, amount, entries)
WHERE b.user_id = r.user_id AND b.currency = r.currency AND b.entries < r.entries`},
	{"uuid smallint uuid text text int bigint int text text", `
INSERT INTO field_history (delivery_id, ordinal, user_id, field, value, stream_epoch, stream_sequence, stream_index, webhook_id, action, at)
SELECT r.*, clock.now FROM clock, rows AS r`},
	{"uuid text text uuid int bigint int", `
UPDATE user_fields f SET value = r.value, delivery_id = r.delivery_id,
    stream_epoch = r.stream_epoch, stream_sequence = r.stream_sequence, stream_index = r.stream_index,
    stored_at = NULL
FROM rows AS r (user_id, field, value, delivery_id, stream_epoch, stream_sequence, stream_index)
WHERE f.user_id = r.user_id AND f.field = r.field`},
	{"uuid text", `
DELETE FROM user_fields f USING rows AS r (user_id, field) WHERE f.user_id = r.user_id AND f.field = r.field`},
}

var undoQuery = func() string {
	var b strings.Builder
	b.WriteString("WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)")
	counts := make([]string, len(undoParts))
	parameter := 2
	for i, part := range undoParts {
		columns := parametersOf(part.types, parameter)
		parameter += len(columns)
		query := strings.Replace(part.query, "rows AS r", "unnest("+strings.Join(columns, ", ")+") AS r", 1)
		fmt.Fprintf(&b, ", t%d AS (%s\nRETURNING 1\n)", i, query)
		counts[i] = fmt.Sprintf("(SELECT count(*) FROM t%d)", i)
	}
	return b.String() + "\nSELECT " + strings.Join(counts, ", ")
}()

// write sends all rows. The users' locks keep everybody else away from them, so
// that other counts than the expected ones are an error of ours.
func (u *undoing) write(ctx context.Context, tx *sqlx.Tx, opts RevertOptions) error {
	r := &u.rows
	if r.reverts.count == 0 {
		return nil
	}
	args, into := []any{opts.By, opts.Note}, []any{}
	written := [...]*undoTable{&r.reverts, &r.logs, &r.balances, &r.history, &r.values, &r.removed}
	var got [len(written)]int
	for i, table := range written {
		for c := range strings.Fields(undoParts[i].types) {
			args = append(args, table.columns[c].String())
		}
		into = append(into, &got[i])
	}
	if err := tx.QueryRowContext(ctx, undoQuery, args...).Scan(into...); err != nil {
		return err
	}
	for i, table := range written {
		if got[i] != table.count {
			return fmt.Errorf("wrote %d rows instead of %d to the table %d of a revert; nothing was changed", got[i], table.count, i+1)
		}
	}
	return nil
}
