package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// undoRows are what a batch of reverts writes, column by column.
type undoRows struct {
	reverts  revertColumns
	logs     logColumns
	balances balanceColumns
	history  fieldHistoryColumns
	values   restoredColumns
	removed  removedColumns
	counts   [undoCount]int

	accounts map[ledger.Account]struct{}
	fields   map[ledger.UserField]struct{}
}

type revertColumns struct {
	ID pg.Array `column:"delivery_id uuid"`
}

// restoredColumns are custom fields that go back to a value.
type restoredColumns struct {
	User     pg.Array `column:"user_id uuid"`
	Field    pg.Array `column:"field text"`
	Value    pg.Array `column:"value text"`
	ID       pg.Array `column:"delivery_id uuid"`
	Epoch    pg.Array `column:"stream_epoch bigint"`
	Sequence pg.Array `column:"stream_sequence bigint"`
	Index    pg.Array `column:"stream_index bigint"`
}

// removedColumns are custom fields that go back to none.
type removedColumns struct {
	User  pg.Array `column:"user_id uuid"`
	Field pg.Array `column:"field text"`
}

// add has the rows of a delivery that is reverted.
func (r *undoRows) add(t *target, d ledger.Reversal) {
	r.counts[undoReverts]++
	r.reverts.ID.ID(t.id)
	for _, e := range d.Entries {
		r.addLog(t, -t.ordinals[e.Of], e.Entry)
	}
	for _, f := range d.Fields {
		if !f.Stays() {
			r.addField(t, f)
		}
	}
}

func (r *undoRows) addLog(t *target, ordinal int64, e ledger.Entry) {
	if r.accounts == nil {
		r.accounts = map[ledger.Account]struct{}{}
	}
	r.accounts[e.Account] = struct{}{}
	r.counts[undoLogs]++
	r.logs.add(t.id, ordinal, e, t.webhookID, revertAction(t))
}

// revertAction is what a log calls the taking back of a webhook's effect.
func revertAction(t *target) string { return "Revert: " + t.action }

// addField records that a custom field goes back to a value, or to none.
func (r *undoRows) addField(t *target, f ledger.FieldReversal) {
	if r.fields == nil {
		r.fields = map[ledger.UserField]struct{}{}
	}
	key, set := t.Fields[f.Of], t.sets[f.Of]
	r.fields[key] = struct{}{}
	r.counts[undoHistory]++
	r.history.add(t.id, -set.ordinal, key, set.at, t.webhookID, revertAction(t))
	if f.Now.IsNone() {
		r.history.Value.Null()
	} else {
		r.history.Value.Text(f.Now.Text)
	}
}

// finish adds what is one row however many deliveries of the batch change it.
func (r *undoRows) finish(u *undoing) {
	for account := range r.accounts {
		r.counts[undoBalances]++
		r.balances.add(account, u.Book[account])
	}
	for key := range r.fields {
		v := u.Held[key]
		if v.IsNone() {
			r.counts[undoRemoved]++
			r.removed.User.ID(key.User)
			r.removed.Field.Text(key.Field)
			continue
		}
		c := &r.values
		r.counts[undoValues]++
		c.User.ID(key.User)
		c.Field.Text(key.Field)
		c.Value.Text(v.Text)
		c.ID.ID(v.By)
		c.Epoch.Int(v.At.Epoch)
		c.Sequence.Int(int64(v.At.Sequence))
		c.Index.Int(int64(v.At.Index))
	}
}

const (
	undoReverts = iota
	undoLogs
	undoBalances
	undoHistory
	undoValues
	undoRemoved
	undoCount
)

// undoPart is what a revert does with one table. "rows AS r" stands for the arrays of
// the batch, one a column.
type undoPart struct {
	query string
	rows  func(as string, after int) string
	count int // of the columns
}

func undo[T any](query string) undoPart {
	return undoPart{query: query, rows: pg.Unnest[T], count: pg.ColumnCount[T]()}
}

var undoParts = [...]undoPart{
	undoReverts: undo[revertColumns](`
INSERT INTO reverts (delivery_id, reverted_by, note, at)
SELECT r.*, $1::text, $2::text, clock.now FROM clock, rows AS r`),
	undoLogs: undo[logColumns](`
INSERT INTO gamification_logs (` + pg.ColumnNames[logColumns]() + `, at)
SELECT r.*, clock.now FROM clock, rows AS r`),
	undoBalances: undo[balanceColumns](`
UPDATE balances b SET amount = r.amount, entries = r.entries, updated_at = clock.now
FROM clock, rows AS r
WHERE b.user_id = r.user_id AND b.currency = r.currency AND b.entries < r.entries`),
	undoHistory: undo[fieldHistoryColumns](`
INSERT INTO field_history (` + pg.ColumnNames[fieldHistoryColumns]() + `, at)
SELECT r.*, clock.now FROM clock, rows AS r`),
	undoValues: undo[restoredColumns](`
UPDATE user_fields f SET value = r.value, delivery_id = r.delivery_id,
    stream_epoch = r.stream_epoch, stream_sequence = r.stream_sequence, stream_index = r.stream_index,
    stored_at = NULL
FROM rows AS r
WHERE f.user_id = r.user_id AND f.field = r.field`),
	undoRemoved: undo[removedColumns](`
DELETE FROM user_fields f USING rows AS r WHERE f.user_id = r.user_id AND f.field = r.field`),
}

var undoQuery = func() string {
	var b strings.Builder
	b.WriteString("WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)")
	counts := make([]string, len(undoParts))
	parameter := 2
	for i, part := range undoParts {
		query := strings.Replace(part.query, "rows AS r", part.rows("r", parameter), 1)
		parameter += part.count
		fmt.Fprintf(&b, ", t%d AS (%s\nRETURNING 1\n)", i, query)
		counts[i] = fmt.Sprintf("(SELECT count(*) FROM t%d)", i)
	}
	return b.String() + "\nSELECT " + strings.Join(counts, ", ")
}()

// write sends all rows. The users' locks keep everybody else away from them, so
// that other counts than the expected ones are an error of ours.
func (u *undoing) write(ctx context.Context, tx *sqlx.Tx, opts RevertOptions) error {
	r := &u.rows
	if r.counts[undoReverts] == 0 {
		return nil
	}
	args, into := []any{opts.By, opts.Note}, []any{}
	written := [...]any{&r.reverts, &r.logs, &r.balances, &r.history, &r.values, &r.removed}
	var got [undoCount]int
	for i, table := range written {
		args, into = pg.AppendColumns(args, table), append(into, &got[i])
	}
	if err := tx.QueryRowContext(ctx, undoQuery, args...).Scan(into...); err != nil {
		return err
	}
	for i, want := range r.counts {
		if got[i] != want {
			return fmt.Errorf("wrote %d rows instead of %d to the table %d of a revert; nothing was changed", got[i], want, i+1)
		}
	}
	return nil
}
