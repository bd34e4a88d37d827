package postgres

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// LateWebhook is a webhook whose deliveries run again when their user appears.
type LateWebhook struct {
	ID, Community string
	// By is what it finds users by. A dead letter that waits for another kind of
	// key waits for a mapping, and not for a user.
	By webhook.UserKey
	// Since is when the oldest of its deliveries was received that may run.
	Since time.Time
	// KeysSince is the same for those whose idempotency key is not known: a retry of
	// them may have been applied, and its key be deleted since.
	KeysSince time.Time
}

// LateDelivery is a dead letter whose user has appeared.
type LateDelivery struct {
	ID         delivery.ID
	User       delivery.ID
	WebhookID  string
	ReceivedAt time.Time
	// Executions is how many are recorded, those that changed nothing too.
	Executions int
}

// LatePage is the result of scanning one page of dead letters.
type LatePage struct {
	// Found are in the order of their ids, the oldest first.
	Found []LateDelivery
	// Last is the last dead letter that was scanned. More says that there may be
	// others after it.
	Last delivery.ID
	More bool
}

const (
	// latePage is how many dead letters one statement scans.
	latePage = 1000
	// maxLateRuns is how often a delivery runs by itself. If its user is gone
	// again each time, it would otherwise run forever.
	maxLateRuns = 3
)

type lateWebhookColumns struct {
	ID        pg.Array `column:"id text"`
	Community pg.Array `column:"community text"`
	By        pg.Array `column:"by text"`
	Since     pg.Array `column:"since timestamptz"`
	KeysSince pg.Array `column:"keys_since timestamptz"`
}

// One look-up after the other, and each through an index: the page is small
// whatever the tables are. MATERIALIZED and OFFSET 0 keep the planner from other
// orders, such as that of all dead letters with all webhooks. The second part says
// how far the page went, also when nobody was found.
var latePageQuery = `
WITH page AS MATERIALIZED (
    SELECT delivery_id, user_by, user_key, webhook_id IS NOT NULL AS keyed
    FROM dead_letters
    WHERE user_key IS NOT NULL AND delivery_id > $1
    ORDER BY delivery_id
    LIMIT $2
),
letters AS MATERIALIZED (
    SELECT p.delivery_id, p.user_by, p.user_key, p.keyed, o.webhook_id, o.received_at
    FROM page p
    CROSS JOIN LATERAL (
        SELECT webhook_id, received_at FROM outcomes
        WHERE delivery_id = p.delivery_id AND reason = 'user_not_found'
        OFFSET 0
    ) AS o
)
SELECT false, l.delivery_id, u.id, l.webhook_id, l.received_at, x.executions
FROM letters l
JOIN ` + pg.Unnest[lateWebhookColumns]("w", 3) + `
    ON w.id = l.webhook_id AND w.by = l.user_by AND w.since <= l.received_at AND (l.keyed OR w.keys_since <= l.received_at)
CROSS JOIN LATERAL (
    SELECT e.id FROM users e WHERE l.user_by = 'email' AND e.community = w.community AND e.email_key = l.user_key
    UNION ALL
    SELECT n.id FROM users n WHERE l.user_by = 'username' AND n.community = w.community AND n.username_key = l.user_key
    UNION ALL
    SELECT x.user_id FROM external_ids x
    WHERE l.user_by = 'external:' || x.kind AND x.community = w.community AND x.kind = split_part(l.user_by, ':', 2) AND x.value = l.user_key
    OFFSET 0
) AS u
CROSS JOIN LATERAL (
    SELECT count(*) AS executions, count(*) FILTER (WHERE cause = 'user_found' AND effect) AS runs
    FROM executions
    WHERE delivery_id = l.delivery_id AND u.id IS NOT NULL -- only of whom is found
) AS x
WHERE x.runs < $3
UNION ALL
(SELECT true, delivery_id, NULL, '', NULL, (SELECT count(*) FROM page) FROM page ORDER BY delivery_id DESC LIMIT 1)
ORDER BY 2`

// LatePage scans the dead letters after that one for users that have appeared.
// It fails once the lead is lost.
func (l *Lead) LatePage(ctx context.Context, webhooks []LateWebhook, after delivery.ID) (page LatePage, err error) {
	var c lateWebhookColumns
	oldest := time.Now()
	for _, w := range webhooks {
		c.ID.Text(w.ID)
		c.Community.Text(w.Community)
		c.By.Text(string(w.By))
		c.Since.Time(w.Since)
		c.KeysSince.Time(w.KeysSince)
		if w.Since.Before(oldest) {
			oldest = w.Since
		}
	}
	if first := pg.FirstIDAt(oldest); string(first[:]) > string(after[:]) { // by index, to the millisecond
		after = first
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err = pg.Each(ctx, l.conn, latePageQuery, func(scan pg.Scan) error {
		var d LateDelivery
		var ended bool
		err := scan(&ended, (*pg.ID)(&d.ID), (*pg.ID)(&d.User), &d.WebhookID, (*pg.Time)(&d.ReceivedAt), &d.Executions)
		if ended {
			page.Last, page.More = d.ID, d.Executions == latePage
		} else {
			page.Found = append(page.Found, d)
		}
		return err
	}, pg.AppendColumns([]any{after.String(), latePage, maxLateRuns}, &c)...)
	return page, pg.Wrap(err, "look for users that have appeared")
}

// LateUser is a user as one webhook sees them.
type LateUser struct {
	ID        delivery.ID
	WebhookID string
}

const lateRunsQuery = outcomeEras + `
SELECT r.user_id, r.webhook_id, count(*)
FROM unnest($1::uuid[], $2::text[]) AS r (user_id, webhook_id)
CROSS JOIN eras
CROSS JOIN LATERAL (
    SELECT o.delivery_id FROM outcomes o
    WHERE o.user_id IS NOT NULL AND substring(uuid_send(o.delivery_id), 1, 3) = eras.era
        AND o.user_id = r.user_id AND o.webhook_id = r.webhook_id AND o.replays > 0
    OFFSET 0
) AS o
WHERE EXISTS (SELECT 1 FROM executions x WHERE x.delivery_id = o.delivery_id AND x.cause = 'user_found' AND x.effect)
GROUP BY r.user_id, r.webhook_id`

// LateRuns counts the deliveries of users that ran because they had appeared.
func (l *Lead) LateRuns(ctx context.Context, users []LateUser) (map[LateUser]int, error) {
	var ids, webhooks pg.Array
	for _, u := range users {
		ids.ID(u.ID)
		webhooks.Text(u.WebhookID)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	runs, err := pg.Map(ctx, l.conn, lateRunsQuery, func(scan pg.Scan, u *LateUser, n *int) error {
		return scan((*pg.ID)(&u.ID), &u.WebhookID, n)
	}, ids.Param(), webhooks.Param())
	return runs, pg.Wrap(err, "count replays for users that have appeared")
}
