package postgres

import (
	"context"
	"time"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// WebhookActivity is what a webhook was sent.
type WebhookActivity struct {
	WebhookID string
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
		err := scan(id, (*pg.ID)(&a.Last), &a.LastAt, &a.LastStatus, &a.DeadLetters)
		a.WebhookID = *id
		return err
	}, pq.StringArray(ids))
	return all, pg.Wrap(err, "read the activity of webhooks")
}
