package postgres

import (
	"context"
	"fmt"
	"time"
)

// Minute is what became of the deliveries that were received within one.
type Minute struct {
	Webhooks []MinuteOfWebhook
	// Half of them had their outcome within P50 of being received, and 99 of 100
	// within P99; replays, which come later, are left out. Zero without any.
	P50, P99 time.Duration
}

// MinuteOfWebhook counts the deliveries of one webhook.
type MinuteOfWebhook struct {
	WebhookID, Webhook, Community string
	Success, Failed               int
}

const (
	minuteQuery = `
SELECT webhook_id, max(webhook), max(community), count(*) FILTER (WHERE status = 'success'), count(*) FILTER (WHERE status = 'failed')
FROM outcomes WHERE delivery_id >= $1 AND delivery_id < $2
GROUP BY webhook_id`
	minuteTimesQuery = `
SELECT (extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY finished_at - received_at)) * 1000000)::bigint,
    (extract(epoch FROM percentile_disc(0.99) WITHIN GROUP (ORDER BY finished_at - received_at)) * 1000000)::bigint
FROM outcomes WHERE delivery_id >= $1 AND delivery_id < $2 AND replays = 0
HAVING count(*) > 0`
)

// Minute looks at the deliveries whose ids are of that minute.
func (s *Store) Minute(ctx context.Context, minute time.Time) (m Minute, err error) {
	from, to := firstIDAt(minute).String(), firstIDAt(minute.Add(time.Minute)).String()
	err = each(ctx, s.db, minuteQuery, func(scan scanner) error {
		var w MinuteOfWebhook
		err := scan(&w.WebhookID, &w.Webhook, &w.Community, &w.Success, &w.Failed)
		m.Webhooks = append(m.Webhooks, w)
		return err
	}, from, to)
	if err != nil {
		return m, fmt.Errorf("look at the deliveries of a minute: %w", err)
	}
	if len(m.Webhooks) == 0 {
		return m, nil
	}
	err = each(ctx, s.db, minuteTimesQuery, func(scan scanner) error {
		var half, most int64
		err := scan(&half, &most)
		m.P50, m.P99 = time.Duration(half)*time.Microsecond, time.Duration(most)*time.Microsecond
		return err
	}, from, to)
	if err != nil {
		return m, fmt.Errorf("look at the times of a minute: %w", err)
	}
	return m, nil
}
