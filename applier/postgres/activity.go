package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Activity is what a stretch of time did to one balance.
type Activity struct {
	// Balance is the one of now, in the smallest unit.
	Balance int64
	// Net is what was added less what was subtracted, in the smallest unit. It is
	// text: a sum may be beyond 64 bits.
	Net string
}

// activityQuery adds nothing up. Entries of an account are numbered in the order
// of time, and each has the balance after it: so the two ends of the stretch are
// found by halving the numbers, and the difference of the balances before them is
// the sum. Two stretches that meet share an end, and so count each entry once,
// even where a clock was set back.
//
// Old entries may be gone: then the first one that is left says what the balance
// was before it.
const activityQuery = `
WITH RECURSIVE accounts AS MATERIALIZED (
    SELECT b.user_id, b.currency, b.amount, oldest.number AS first, newest.number + 1 AS past
    FROM balances b
    LEFT JOIN LATERAL (SELECT number FROM gamification_logs l
        WHERE l.user_id = b.user_id AND l.currency = b.currency ORDER BY number LIMIT 1) oldest ON true
    LEFT JOIN LATERAL (SELECT number FROM gamification_logs l
        WHERE l.user_id = b.user_id AND l.currency = b.currency ORDER BY number DESC LIMIT 1) newest ON true
    WHERE b.user_id = ANY ($1::uuid[]) AND b.currency = ANY (string_to_array($2, ' '))
),
-- The first entry at a time or later has a number from low to high.
search AS (
    SELECT a.user_id, a.currency, bound.at, a.first AS low, a.past AS high
    FROM accounts a, (VALUES ($3::timestamptz), ($4::timestamptz)) AS bound (at)
    WHERE a.first IS NOT NULL
    UNION ALL
    SELECT s.user_id, s.currency, s.at,
        CASE WHEN entry.at < s.at THEN entry.number + 1 ELSE s.low END,
        CASE WHEN entry.at < s.at THEN s.high ELSE s.low + (s.high - s.low) / 2 END
    FROM search s, LATERAL (
        SELECT l.number, l.at FROM gamification_logs l
        WHERE l.user_id = s.user_id AND l.currency = s.currency AND l.number >= s.low + (s.high - s.low) / 2
        ORDER BY l.number LIMIT 1) entry
    WHERE s.low < s.high
),
ends AS (
    SELECT s.user_id, s.currency, s.at, coalesce(
        (SELECT l.balance FROM gamification_logs l
            WHERE l.user_id = s.user_id AND l.currency = s.currency AND l.number < s.low ORDER BY l.number DESC LIMIT 1)::numeric,
        (SELECT l.balance - CASE l.operator WHEN 'add' THEN l.amount::numeric ELSE -l.amount::numeric END FROM gamification_logs l
            WHERE l.user_id = s.user_id AND l.currency = s.currency ORDER BY l.number LIMIT 1)) AS balance
    FROM search s WHERE s.low >= s.high
)
SELECT a.user_id, a.currency, a.amount, coalesce(until.balance - since.balance, 0)::text
FROM accounts a
LEFT JOIN ends since ON since.user_id = a.user_id AND since.currency = a.currency AND since.at = $3
LEFT JOIN ends until ON until.user_id = a.user_id AND until.currency = a.currency AND until.at = $4`

// Activities returns what happened from since until before until to the balances
// in xp and coins, by user and currency. All is of one moment.
func (s *Store) Activities(ctx context.Context, users []delivery.ID, since, until time.Time) (map[delivery.ID]map[string]Activity, error) {
	all := make(map[delivery.ID]map[string]Activity, len(users))
	for _, id := range users {
		all[id] = map[string]Activity{}
		for _, c := range applier.BuiltinCurrencies() {
			all[id][c.Code] = Activity{Net: "0"}
		}
	}
	err := each(ctx, s.db, activityQuery, func(scan scanner) error {
		var id idScanner
		var currency string
		var a Activity
		if err := scan(&id, &currency, &a.Balance, &a.Net); err != nil {
			return err
		}
		all[delivery.ID(id)][currency] = a
		return nil
	}, idArray(users), "xp coins", since, until)
	if err != nil {
		return nil, fmt.Errorf("sum up what happened to balances: %w", err)
	}
	return all, nil
}

const findNamesQuery = `
SELECT u.id, u.community, coalesce(u.email, ''), coalesce(u.username, ''), u.%[1]s
FROM users u WHERE u.community = $1 AND u.%[1]s = ANY ($2::text[])`

// FindNames returns the users who have these emails, or usernames, by the folded
// key; without balances.
func (s *Store) FindNames(ctx context.Context, community string, by webhook.UserKey, names []string) (map[string]User, error) {
	var keys array
	for _, name := range names {
		keys.text(applier.FoldKey(name))
	}
	found := make(map[string]User, len(names))
	column := "email_key"
	if by == webhook.ByUsername {
		column = "username_key"
	}
	err := each(ctx, s.db, fmt.Sprintf(findNamesQuery, column), func(scan scanner) error {
		var id idScanner
		var u User
		var key string
		if err := scan(&id, &u.Community, &u.Email, &u.Username, &key); err != nil {
			return err
		}
		u.ID = delivery.ID(id)
		found[key] = u
		return nil
	}, community, keys.String())
	if err != nil {
		return nil, fmt.Errorf("look up users: %w", err)
	}
	return found, nil
}
