package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
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

// activityQuery reads the users' logs of the eras that the stretch is in.
const activityQuery = `
SELECT b.user_id, b.currency, b.amount, coalesce(d.net, 0)::text
FROM balances b LEFT JOIN (
    SELECT l.user_id, l.currency, sum(CASE l.operator WHEN 'add' THEN l.amount ELSE -l.amount::numeric END) AS net
    FROM unnest($1::uuid[]) AS u (id)
    CROSS JOIN generate_series($5::bigint >> 18, $6::bigint >> 18) AS era
    CROSS JOIN LATERAL (
        SELECT user_id, currency, operator, amount FROM gamification_logs
        WHERE id >> 18 = era AND user_id = u.id AND id >= $5 AND id < $6 AND at >= $3 AND at < $4 OFFSET 0
    ) l
    GROUP BY l.user_id, l.currency
) d ON d.user_id = b.user_id AND d.currency = b.currency
WHERE b.user_id = ANY ($1::uuid[]) AND b.currency = ANY (string_to_array($2, ' '))`

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
	low, high, err := s.logIDs(ctx, since, until)
	if err != nil {
		return nil, fmt.Errorf("sum up changes of balances: %w", err)
	}
	err = pg.Each(ctx, s.db, activityQuery, func(scan pg.Scan) error {
		var id delivery.ID
		var currency string
		var a Activity
		if err := scan((*pg.ID)(&id), &currency, &a.Balance, &a.Net); err != nil {
			return err
		}
		all[id][currency] = a
		return nil
	}, pg.IDs(users), "xp coins", since, until, low, high)
	return all, pg.Wrap(err, "sum up changes of balances")
}

const findNamesQuery = `
SELECT u.id, u.%[1]s
FROM users u WHERE u.community = $1 AND u.%[1]s = ANY ($2::text[])`

// FindNames returns the ids of the users who have these emails, or usernames, by the
// folded key.
func (s *Store) FindNames(ctx context.Context, community string, by webhook.UserKey, names []string) (map[string]delivery.ID, error) {
	if !admin.Sees(ctx, community) {
		return nil, nil
	}
	var keys pg.Array
	for _, name := range names {
		keys.Text(applier.FoldKey(name))
	}
	column := "email_key"
	if by == webhook.ByUsername {
		column = "username_key"
	}
	found, err := pg.Map(ctx, s.db, fmt.Sprintf(findNamesQuery, column), func(scan pg.Scan, key *string, id *delivery.ID) error {
		return scan((*pg.ID)(id), key)
	}, community, keys.Param())
	return found, pg.Wrap(err, "look up users")
}

// Day is what one day, in UTC, did to a balance.
type Day struct {
	Day      time.Time
	Currency string
	Scale    int    // of the currency
	Net      string // what was added less what was subtracted, in the smallest unit
}

const daysQuery = `
SELECT date_trunc('day', l.at AT TIME ZONE 'UTC') AS day, l.currency, coalesce(c.scale, 0),
    sum(CASE l.operator WHEN 'add' THEN l.amount ELSE -l.amount::numeric END)::text
FROM generate_series($4::bigint >> 18, $5::bigint >> 18) AS era
CROSS JOIN LATERAL (
    SELECT * FROM gamification_logs WHERE id >> 18 = era AND user_id = $1 AND id >= $4 AND id < $5 AND at >= $2 AND at < $3 OFFSET 0
) l
JOIN users u ON u.id = l.user_id
LEFT JOIN currencies c ON c.community = u.community AND c.code = l.currency
GROUP BY day, l.currency, c.scale
ORDER BY day, l.currency`

// Days returns what each day from since until before until did to a user's
// balances; days that did nothing are left out.
func (s *Store) Days(ctx context.Context, user delivery.ID, since, until time.Time) (all []Day, err error) {
	low, high, err := s.logIDs(ctx, since, until)
	if err != nil {
		return nil, err
	}
	all, err = pg.Collect(ctx, s.db, daysQuery, func(scan pg.Scan, d *Day) error {
		err := scan(&d.Day, &d.Currency, &d.Scale, &d.Net)
		d.Day = time.Date(d.Day.Year(), d.Day.Month(), d.Day.Day(), 0, 0, 0, 0, time.UTC)
		return err
	}, user.String(), since, until, low, high)
	return all, pg.Wrap(err, "sum up a user's days")
}

// WebhookActivity is what a webhook was sent.
type WebhookActivity struct {
	// Last is the newest delivery that has an outcome.
	Last       delivery.ID
	LastAt     time.Time
	LastStatus delivery.Status
	// DeadLetters counts those that wait for an admin.
	DeadLetters int
}

// As with lists of outcomes, bounds and the order leave one index for each part: with
// webhook_id = w.id the planner may read all outcomes, newest first, in search of a
// webhook that has none.
const webhookActivityQuery = `
SELECT w.id, l.delivery_id, l.received_at, l.status, coalesce(f.count, 0)
FROM unnest($1::text[]) AS w(id)
JOIN LATERAL (
    SELECT delivery_id, received_at, status FROM outcomes
    WHERE webhook_id >= w.id AND webhook_id <= w.id
    ORDER BY webhook_id DESC, delivery_id DESC LIMIT 1
) l ON true
LEFT JOIN (
    SELECT o.webhook_id, count(*) AS count FROM dead_letters d JOIN outcomes o ON o.delivery_id = d.delivery_id
    WHERE o.status = 'failed' AND o.webhook_id = ANY ($1::text[]) GROUP BY 1
) f ON f.webhook_id = w.id`

// WebhookActivities returns what these webhooks were sent; those that never were
// sent anything are left out.
func (s *Store) WebhookActivities(ctx context.Context, ids []string) (map[string]WebhookActivity, error) {
	all, err := pg.Map(ctx, s.db, webhookActivityQuery, func(scan pg.Scan, id *string, a *WebhookActivity) error {
		return scan(id, (*pg.ID)(&a.Last), &a.LastAt, &a.LastStatus, &a.DeadLetters)
	}, pq.StringArray(ids))
	return all, pg.Wrap(err, "read the activity of webhooks")
}
