package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A page of accounts has all logs of each, and one account may have millions. If that
// is too many for a statement, the audit checks the logs slice by slice. Each slice
// brings the last two entries of every account before it.

// auditSlices says from how many entries on a page is cut, and how many ids of logs
// a slice has. The zero value is the default.
type auditSlices struct{ above, width int64 }

func (s auditSlices) orDefault() auditSlices {
	if s.width == 0 {
		return auditSlices{above: 500_000, width: 1 << 18}
	}
	return s
}

// ends are the last two entries of each account before a slice. "total" is the sum of all
// effects up to an entry, and the balance before and the entry's effect make what is
// expected of it.
type ends struct {
	User     pg.Array `column:"user_id uuid"`
	Currency pg.Array `column:"currency text"`
	ID       pg.Array `column:"id bigint"`
	Number   pg.Array `column:"number bigint"`
	Balance  pg.Array `column:"balance bigint"`
	Total    pg.Array `column:"total text"`
	Expected pg.Array `column:"expected text"`
}

var (
	entriesOfPageQuery = `SELECT coalesce(sum(entries), 0)::bigint FROM balances WHERE user_id > $1 AND user_id <= $2`
	logIDsQuery        = `SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM gamification_logs`
	basesQuery         = `
SELECT user_id, currency, 0, number, balance, balance::text, balance::text FROM log_bases WHERE user_id > $1 AND user_id <= $2`

	sliceCTE = `
WITH entries AS (
    SELECT delivery_id, ordinal, user_id, currency, id, number, amount, balance, false AS is_base,
        CASE operator WHEN 'add' THEN amount::numeric ELSE -amount::numeric END AS effect
    FROM generate_series($3::bigint >> 18, $4::bigint >> 18) AS era CROSS JOIN LATERAL (
        SELECT * FROM gamification_logs WHERE id >> 18 = era AND user_id > $1 AND user_id <= $2 AND id > $3 AND id <= $4 OFFSET 0
    ) l
    UNION ALL
    SELECT NULL, NULL, user_id, currency, id, number, 0, balance, true, total::numeric - lag(total::numeric, 1, 0::numeric) OVER (PARTITION BY user_id, currency ORDER BY id)
    FROM ` + pg.Unnest[ends]("c", 4) + `
), log AS (
    SELECT *, sum(effect) OVER account AS total, balance - sum(effect) OVER account AS off,
        lag(number::numeric, 1, 0::numeric) OVER account AS number_before, coalesce(lag(balance) OVER account, 0) + effect AS expected,
        row_number() OVER (PARTITION BY user_id, currency ORDER BY id DESC) AS from_end
    FROM entries
    WINDOW account AS (PARTITION BY user_id, currency ORDER BY id)
)`
	brokenSliceQuery = sliceCTE + `, seen AS (
    SELECT *, lag(off, 1, 0) OVER account AS off_before, lag(off, 2, 0) OVER account AS off_before_that
    FROM log
    WINDOW account AS (PARTITION BY user_id, currency ORDER BY id)
)` + brokenLogs
	sliceEndsQuery = sliceCTE + `
SELECT user_id, currency, id, number, balance, total::text, expected::text FROM log WHERE from_end <= 2 ORDER BY user_id, currency, id`

	brokenSlicedBalancesQuery = `
WITH last AS (
    SELECT DISTINCT ON (user_id, currency) user_id, currency, number, balance, expected::numeric
    FROM ` + pg.Unnest[ends]("c", 2) + `
    ORDER BY user_id, currency, id DESC
)` + brokenBalances
)

func (e *ends) read(ctx context.Context, tx *sqlx.Tx, query string, args ...any) error {
	return pg.Each(ctx, tx, query, func(scan pg.Scan) error {
		var user delivery.ID
		var currency, total, expected string
		var id, number, balance int64
		if err := scan((*pg.ID)(&user), &currency, &id, &number, &balance, &total, &expected); err != nil {
			return err
		}
		e.User.ID(user)
		e.Currency.Text(currency)
		e.ID.Int(id)
		e.Number.Int(number)
		e.Balance.Int(balance)
		e.Total.Text(total)
		e.Expected.Text(expected)
		return nil
	}, args...)
}

// isLarge reports whether a page of accounts has to be cut.
func (s auditSlices) isLarge(ctx context.Context, tx *sqlx.Tx, after, to delivery.ID) (bool, error) {
	var entries int64
	err := tx.GetContext(ctx, &entries, entriesOfPageQuery, after.String(), to.String())
	return entries > s.above, err
}

// check checks a page of accounts slice by slice.
func (s auditSlices) check(ctx context.Context, tx *sqlx.Tx, after, to delivery.ID, found func(admin.Finding)) error {
	var first, last int64
	if err := tx.QueryRowContext(ctx, logIDsQuery).Scan(&first, &last); err != nil {
		return err
	}
	before := &ends{}
	if err := before.read(ctx, tx, basesQuery, after.String(), to.String()); err != nil {
		return err
	}
	for from := first - 1; from < last; from += s.width {
		args := pg.AppendColumns([]any{after.String(), to.String(), from, from + s.width}, before)
		if err := auditOne(ctx, tx, found, brokenSliceQuery, args...); err != nil {
			return fmt.Errorf("logs after %d: %w", from, err)
		}
		next := &ends{}
		if err := next.read(ctx, tx, sliceEndsQuery, args...); err != nil {
			return fmt.Errorf("logs after %d: %w", from, err)
		}
		before = next
	}
	args := pg.AppendColumns([]any{after.String(), to.String()}, before)
	return auditOne(ctx, tx, found, brokenSlicedBalancesQuery, args...)
}
