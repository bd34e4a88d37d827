package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// The ledger is audited page by page, so that the database sorts a page at a
// time however much there is: accounts by the ids of their users, deliveries by
// their own. A page holds all accounts or deliveries between two ids. Pages have no
// gap between them, so the audit also finds a row that is missing.
var (
	auditAccounts = auditPart{
		name: admin.AccountFindings, by: "user_id", bound: accountsBoundQuery,
		checks: []string{brokenLogsQuery, brokenBalancesQuery}, sliced: true,
	}
	auditDeliveries = auditPart{
		name: admin.DeliveriesFindings, by: "delivery_id", bound: deliveriesBoundQuery,
		checks: []string{brokenOutcomesQuery, strayLogsQuery, brokenRevertsQuery, brokenDeadLettersQuery},
	}
)

// auditPart is one way through the ledger. Its checks are statements whose every
// row is a violation: kind, delivery, user, currency, detail. They are about the
// ids after $1, up to $2.
type auditPart struct {
	name   admin.FindingsPart
	by     string // the column of the ids
	bound  string
	checks []string
	// sliced says that a large page of it can be cut.
	sliced bool
}

// auditPageRows is about how many logs or outcomes a page has. Those of the audit that
// runs next to appliers are smaller, so that no delivery waits long for one.
const (
	auditPageRows = 20_000
	watchPageRows = 4_000
)

const (
	// A balance says how many logs its account has. 5000 balances are enough for a
	// page, however few logs they have.
	accountsBoundQuery = `
SELECT user_id FROM (
    SELECT user_id, sum(entries) OVER account AS logs, row_number() OVER account AS balances
    FROM balances WHERE user_id > $1 WINDOW account AS (ORDER BY user_id, currency) LIMIT 5001
) b
WHERE logs > $2 OR balances > 5000
ORDER BY user_id LIMIT 1`
	deliveriesBoundQuery = `SELECT delivery_id FROM outcomes WHERE delivery_id > $1 ORDER BY delivery_id OFFSET $2 LIMIT 1`
)

// entriesCTE yields each account's logs, preceded by a base row that stands for removed
// ones. Sums are numeric, so that a row edited by hand near the limit of bigint is
// reported and does not overflow.
const entriesCTE = `
WITH entries AS (
    SELECT delivery_id, ordinal, user_id, currency, number, amount, balance, false AS is_base,
        CASE operator WHEN 'add' THEN amount::numeric ELSE -amount::numeric END AS effect
    FROM ` + logEras + ` CROSS JOIN LATERAL (
        SELECT * FROM gamification_logs WHERE id >> 18 = era AND user_id > $1 AND user_id <= $2 OFFSET 0
    ) l
    UNION ALL
    SELECT NULL, NULL, user_id, currency, number, 0, balance, true, balance
    FROM log_bases WHERE user_id > $1 AND user_id <= $2
)`

// A log's balance is the previous balance plus its amount. "off" is the difference
// between the balance and the sum of the amounts: a log was changed where "off" changes.
// If only a balance was changed, it is off in one log and right again in the next.
const brokenLogsQuery = entriesCTE + `, log AS (
    SELECT *, balance - sum(effect) OVER account AS off, lag(number::numeric, 1, 0::numeric) OVER account AS number_before
    FROM entries
    WINDOW account AS (PARTITION BY user_id, currency ORDER BY number)
), seen AS (
    SELECT *, lag(off, 1, 0) OVER account AS off_before, lag(off, 2, 0) OVER account AS off_before_that
    FROM log
    WINDOW account AS (PARTITION BY user_id, currency ORDER BY number)
)` + brokenLogs

const brokenLogs = `
SELECT CASE WHEN number > number_before + 1 THEN 'log_missing' ELSE 'log_changed' END,
    delivery_id, user_id, currency,
    CASE WHEN number > number_before + 1
        THEN format('The account lacks the entries %s to %s, before the one of this delivery.', number_before + 1, number::numeric - 1)
        ELSE format('Entry %s of the account (ordinal %s of the delivery), with amount %s, does not lead to its balance of %s.', number, ordinal, amount, balance)
    END
FROM seen
WHERE NOT is_base
    AND (number > number_before + 1 OR off <> off_before AND NOT (off = off_before_that AND off_before <> off_before_that))`

const brokenBalancesQuery = entriesCTE + `, last AS (
    SELECT DISTINCT ON (user_id, currency) user_id, currency, number, balance, coalesce(before, 0) + effect AS expected
    FROM (SELECT *, lag(balance) OVER (PARTITION BY user_id, currency ORDER BY number) AS before FROM entries) e
    ORDER BY user_id, currency, number DESC
)` + brokenBalances

const brokenBalances = `
SELECT CASE WHEN b.user_id IS NULL THEN 'balance_missing' WHEN b.entries > coalesce(l.number, 0) THEN 'log_missing' ELSE 'balance_changed' END,
    NULL::uuid, coalesce(b.user_id, l.user_id), coalesce(b.currency, l.currency),
    CASE WHEN b.user_id IS NULL THEN format('The account has entries up to number %s and no balance.', l.number)
        WHEN b.entries > coalesce(l.number, 0) THEN format('The account lacks the entries %s to %s, the newest ones.', coalesce(l.number, 0)::numeric + 1, b.entries)
        ELSE format('The balance is %s after %s entries, and the newest entry, number %s, leaves %s.', b.amount, b.entries, coalesce(l.number, 0), coalesce(l.balance, 0))
    END
FROM (SELECT * FROM balances WHERE user_id > $1 AND user_id <= $2) b FULL JOIN last l ON l.user_id = b.user_id AND l.currency = b.currency
WHERE b.user_id IS NULL OR b.entries <> coalesce(l.number, 0) OR b.amount NOT IN (coalesce(l.balance, 0), coalesce(l.expected, 0))`

const brokenOutcomesQuery = `
WITH written AS (
    SELECT delivery_id, count(*) AS entries FROM gamification_logs
    WHERE delivery_id > $1 AND delivery_id <= $2 AND ordinal > 0 GROUP BY delivery_id
)
SELECT CASE WHEN o.delivery_id IS NULL THEN 'outcome_missing' WHEN coalesce(w.entries, 0) < o.changes THEN 'log_missing' ELSE 'outcome_changed' END,
    coalesce(o.delivery_id, w.delivery_id), o.user_id, '',
    CASE WHEN o.delivery_id IS NULL THEN format('%s log entries are of a delivery without an outcome.', w.entries)
        ELSE format('The outcome is %s with %s changes, and there are %s log entries.', coalesce(o.outcome, o.status), coalesce(o.changes::text, 'unknown'), coalesce(w.entries, 0))
    END
FROM (SELECT * FROM outcomes WHERE delivery_id > $1 AND delivery_id <= $2) o FULL JOIN written w ON w.delivery_id = o.delivery_id
WHERE o.delivery_id IS NULL
    OR o.outcome IS DISTINCT FROM 'applied' AND w.entries > 0
    OR o.changes <> coalesce(w.entries, 0)`

const strayLogsQuery = `
SELECT 'log_changed', l.delivery_id, l.user_id, l.currency, format('Entry %s of the account is not of the user or webhook that the outcome names.', l.number)
FROM gamification_logs l JOIN outcomes o ON o.delivery_id = l.delivery_id
WHERE l.delivery_id > $1 AND l.delivery_id <= $2 AND o.delivery_id > $1 AND o.delivery_id <= $2
    AND (l.user_id IS DISTINCT FROM o.user_id OR l.webhook_id <> o.webhook_id)`

// An entry that was reverted has its opposite, whose ordinal is the same below
// zero. Of a delivery that was removed for its age opposites may be left.
const brokenRevertsQuery = `
WITH written AS (SELECT * FROM gamification_logs WHERE delivery_id > $1 AND delivery_id <= $2),
reverted AS (SELECT * FROM reverts WHERE delivery_id > $1 AND delivery_id <= $2)
SELECT 'log_missing', l.delivery_id, l.user_id, l.currency, format('Entry %s of the account was reverted, and its opposite is not there.', l.number)
FROM written l JOIN reverted r ON r.delivery_id = l.delivery_id
WHERE l.ordinal > 0 AND NOT EXISTS (SELECT FROM written u WHERE u.delivery_id = l.delivery_id AND u.ordinal = -l.ordinal::int)
UNION ALL
SELECT 'log_changed', u.delivery_id, u.user_id, u.currency, format('Entry %s of the account is not the opposite of one that was reverted.', u.number)
FROM written u
JOIN outcomes o ON o.delivery_id = u.delivery_id AND o.delivery_id > $1 AND o.delivery_id <= $2
LEFT JOIN reverted r ON r.delivery_id = u.delivery_id
LEFT JOIN written l ON l.delivery_id = u.delivery_id AND l.ordinal = -u.ordinal::int
WHERE u.ordinal < 0 AND (r.delivery_id IS NULL OR l.delivery_id IS NULL
    OR (l.user_id, l.currency, l.amount) <> (u.user_id, u.currency, u.amount) OR l.operator = u.operator)`

const brokenDeadLettersQuery = `
SELECT 'dead_letter_missing', o.delivery_id, o.user_id, '', 'The delivery failed, and is neither a dead letter nor discarded.'
FROM outcomes o
WHERE o.delivery_id > $1 AND o.delivery_id <= $2
    AND o.status = 'failed'
    AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.delivery_id = o.delivery_id AND d.delivery_id > $1 AND d.delivery_id <= $2)
    AND NOT EXISTS (SELECT FROM discards d WHERE d.delivery_id = o.delivery_id AND d.delivery_id > $1 AND d.delivery_id <= $2)
UNION ALL
SELECT 'outcome_changed', d.delivery_id, o.user_id, '', 'There is a dead letter, and the outcome is not failed.'
FROM dead_letters d LEFT JOIN outcomes o ON o.delivery_id = d.delivery_id AND o.delivery_id > $1 AND o.delivery_id <= $2
WHERE d.delivery_id > $1 AND d.delivery_id <= $2 AND o.status IS DISTINCT FROM 'failed'`

// AuditLedger checks the whole ledger as of one moment and passes on each violation. It
// calls step with its progress.
func (s *Store) AuditLedger(ctx context.Context, step func(what string), found func(admin.Finding)) error {
	return pg.Snapshot(ctx, s.db, func(tx *sqlx.Tx) error {
		for _, part := range []auditPart{auditAccounts, auditDeliveries} {
			var at delivery.ID
			for rows := 0; at != lastID; rows += auditPageRows {
				step(fmt.Sprintf("the ledger's %s, after %d rows", part.name, rows))
				var err error
				if at, err = part.page(ctx, tx, s.slices, at, auditPageRows, found); err != nil {
					return fmt.Errorf("audit the ledger's %s: %w", part.name, err)
				}
			}
		}
		return nil
	})
}

// lastID is the greatest: a page up to it is the last one.
var lastID = delivery.ID(bytes.Repeat([]byte{0xff}, len(delivery.ID{})))

// page checks about this many rows after an id, and returns how far it came.
func (p auditPart) page(ctx context.Context, tx *sqlx.Tx, slices auditSlices, after delivery.ID, rows int, found func(admin.Finding)) (to delivery.ID, err error) {
	err = tx.QueryRowContext(ctx, p.bound, after.String(), rows).Scan((*pg.ID)(&to))
	if errors.Is(err, sql.ErrNoRows) {
		to, err = lastID, nil
	}
	if err != nil {
		return to, err
	}
	// Both sides of a join are as large as a page. Tables that were just restored
	// have no statistics, and a planner without them compares all with all.
	if _, err := tx.ExecContext(ctx, `SET LOCAL enable_nestloop = off`); err != nil {
		return to, err
	}
	if slices = slices.orDefault(); p.sliced {
		large, err := slices.isLarge(ctx, tx, after, to)
		if err == nil && large {
			err = slices.check(ctx, tx, after, to, found)
		}
		if err != nil || large {
			return to, err
		}
	}
	for _, check := range p.checks {
		if err := auditOne(ctx, tx, found, check, after.String(), to.String()); err != nil {
			return to, err
		}
	}
	return to, nil
}

func auditOne(ctx context.Context, tx *sqlx.Tx, found func(admin.Finding), query string, args ...any) error {
	return pg.Each(ctx, tx, query, func(scan pg.Scan) error {
		var f admin.Finding
		var about subject
		if err := scan(&f.Kind, &about.delivery, &about.user, &about.currency, &f.Detail); err != nil {
			return err
		}
		about.put(&f)
		found(f)
		return nil
	}, args...)
}
