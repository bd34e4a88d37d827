package postgres

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

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
