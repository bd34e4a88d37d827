package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Violation is something that does not add up. What it is not about is zero.
type Violation struct {
	Kind       string
	DeliveryID delivery.ID
	UserID     delivery.ID
	Currency   string
	Detail     string
}

// ledgerChecks are statements whose every row is a violation: kind, delivery,
// user, currency, detail. Together they say that balances, gamification logs,
// outcomes and dead letters follow from each other.
var ledgerChecks = []struct{ name, query string }{
	{"follow the logs of each account", brokenLogsQuery},
	{"compare balances with their logs", brokenBalancesQuery},
	{"compare outcomes with their logs", brokenOutcomesQuery},
	{"compare logs with their outcomes", strayLogsQuery},
	{"compare failures with dead letters", brokenDeadLettersQuery},
}

// A log's balance is the one before and its amount. "off" is by how much the
// balances differ from the sum of the amounts: where it changes, a log was
// changed. A balance that was changed alone is off in one log, and the next one
// is right again.
const brokenLogsQuery = `
WITH log AS (
    SELECT delivery_id, ordinal, user_id, currency, number, amount, balance,
        balance - sum(CASE operator WHEN 'add' THEN amount ELSE -amount END) OVER account AS off,
        lag(number, 1, 0::bigint) OVER (PARTITION BY user_id, currency ORDER BY number) AS number_before
    FROM gamification_logs
    WINDOW account AS (PARTITION BY user_id, currency ORDER BY number)
), seen AS (
    SELECT *, lag(off, 1, 0) OVER account AS off_before, lag(off, 2, 0) OVER account AS off_before_that
    FROM log
    WINDOW account AS (PARTITION BY user_id, currency ORDER BY number)
)
SELECT CASE WHEN number > number_before + 1 THEN 'log_missing' ELSE 'log_changed' END,
    delivery_id, user_id, currency,
    CASE WHEN number > number_before + 1
        THEN format('The account lacks the entries %s to %s, before the one of this delivery.', number_before + 1, number - 1)
        ELSE format('Entry %s of the account (ordinal %s of the delivery), with amount %s, does not lead to its balance of %s.', number, ordinal, amount, balance)
    END
FROM seen
WHERE number > number_before + 1 OR off <> off_before AND NOT (off = off_before_that AND off_before <> off_before_that)`

const brokenBalancesQuery = `
WITH last AS (
    SELECT DISTINCT ON (user_id, currency) delivery_id, user_id, currency, number, balance,
        coalesce(before, 0) + CASE operator WHEN 'add' THEN amount ELSE -amount END AS expected
    FROM (SELECT *, lag(balance) OVER (PARTITION BY user_id, currency ORDER BY number) AS before FROM gamification_logs) l
    ORDER BY user_id, currency, number DESC
)
SELECT CASE WHEN b.user_id IS NULL THEN 'balance_missing' WHEN b.entries > coalesce(l.number, 0) THEN 'log_missing' ELSE 'balance_changed' END,
    NULL::uuid, coalesce(b.user_id, l.user_id), coalesce(b.currency, l.currency),
    CASE WHEN b.user_id IS NULL THEN format('The account has entries up to number %s and no balance.', l.number)
        WHEN b.entries > coalesce(l.number, 0) THEN format('The account lacks the entries %s to %s, the newest ones.', coalesce(l.number, 0) + 1, b.entries)
        ELSE format('The balance is %s after %s entries, and the newest entry, number %s, leaves %s.', b.amount, b.entries, coalesce(l.number, 0), coalesce(l.balance, 0))
    END
FROM balances b FULL JOIN last l ON l.user_id = b.user_id AND l.currency = b.currency
WHERE b.user_id IS NULL OR b.entries <> coalesce(l.number, 0) OR b.amount NOT IN (coalesce(l.balance, 0), coalesce(l.expected, 0))`

const brokenOutcomesQuery = `
WITH written AS (SELECT delivery_id, count(*) AS entries FROM gamification_logs WHERE ordinal > 0 GROUP BY delivery_id)
SELECT CASE WHEN o.delivery_id IS NULL THEN 'outcome_missing' WHEN coalesce(w.entries, 0) < o.changes THEN 'log_missing' ELSE 'outcome_changed' END,
    coalesce(o.delivery_id, w.delivery_id), o.user_id, '',
    CASE WHEN o.delivery_id IS NULL THEN format('%s log entries are of a delivery without an outcome.', w.entries)
        ELSE format('The outcome is %s with %s changes, and there are %s log entries.', coalesce(o.outcome, o.status), coalesce(o.changes::text, 'unknown'), coalesce(w.entries, 0))
    END
FROM outcomes o FULL JOIN written w ON w.delivery_id = o.delivery_id
WHERE o.delivery_id IS NULL
    OR o.outcome IS DISTINCT FROM 'applied' AND w.entries > 0
    OR o.changes <> coalesce(w.entries, 0)`

const strayLogsQuery = `
SELECT 'log_changed', l.delivery_id, l.user_id, l.currency, format('Entry %s of the account is not of the user or webhook that the outcome names.', l.number)
FROM gamification_logs l JOIN outcomes o ON o.delivery_id = l.delivery_id
WHERE l.user_id IS DISTINCT FROM o.user_id OR l.webhook_id <> o.webhook_id`

const brokenDeadLettersQuery = `
SELECT 'dead_letter_missing', o.delivery_id, o.user_id, '', 'The delivery failed, and is neither a dead letter nor discarded.'
FROM outcomes o
WHERE o.status = 'failed' AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.delivery_id = o.delivery_id)
    AND NOT EXISTS (SELECT FROM discards d WHERE d.delivery_id = o.delivery_id)
UNION ALL
SELECT 'outcome_changed', d.delivery_id, o.user_id, '', 'There is a dead letter, and the outcome is not failed.'
FROM dead_letters d LEFT JOIN outcomes o ON o.delivery_id = d.delivery_id
WHERE o.status IS DISTINCT FROM 'failed'`

// AuditLedger checks all of the ledger as of one moment and hands out what does
// not add up. step is told each check before it begins.
func (s *Store) AuditLedger(ctx context.Context, step func(name string), found func(Violation)) error {
	tx, err := s.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // nothing was written
	for _, check := range ledgerChecks {
		step(check.name)
		if err := auditOne(ctx, tx, check.query, found); err != nil {
			return fmt.Errorf("audit: %s: %w", check.name, err)
		}
	}
	return nil
}

func auditOne(ctx context.Context, tx *sqlx.Tx, query string, found func(Violation)) error {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var v Violation
		var id, user idScanner
		if err := rows.Scan(&v.Kind, &id, &user, &v.Currency, &v.Detail); err != nil {
			return err
		}
		v.DeliveryID, v.UserID = delivery.ID(id), delivery.ID(user)
		found(v)
	}
	return rows.Err()
}
