package postgres

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const selectLogs = `
SELECT l.id, l.delivery_id, l.user_id, coalesce(u.email, ''), coalesce(u.username, ''), l.currency, coalesce(c.scale, 0),
    l.operator, l.amount, l.balance, l.action, coalesce(u.community, ''), l.at
FROM gamification_logs l
LEFT JOIN users u ON u.id = l.user_id
LEFT JOIN currencies c ON c.community = u.community AND c.code = l.currency`

// LogFilter narrows a list; zero values do not.
type LogFilter struct {
	Community string
	UserID    delivery.ID
	Currency  string
	WebhookID string
	Since     time.Time
	Until     time.Time // written before it
	// Before is the last entry of the page before.
	Before int64
	Limit  int
}

// ListLogs returns gamification logs, newest first.
func (s *Store) ListLogs(ctx context.Context, f LogFilter) ([]admin.Log, error) {
	logs, err := s.listLogs(ctx, f)
	return logs, pg.Wrap(err, "list gamification logs")
}

func (s *Store) listLogs(ctx context.Context, f LogFilter) ([]admin.Log, error) {
	var w pg.Where
	order := "l.id DESC"
	w.Narrow("l.currency = ?", f.Currency)
	if f.WebhookID != "" {
		// As with outcomes, so that the webhook's own index serves.
		w.Add("l.webhook_id >= ? AND l.webhook_id <= ?", f.WebhookID, f.WebhookID)
		order = "l.webhook_id DESC, l.id DESC"
	}
	if err := s.addLogTimes(ctx, &w, f.Since, f.Until); err != nil {
		return nil, err
	}
	w.Narrow("l.id < ?", f.Before)
	if f.UserID != (delivery.ID{}) {
		query, args := logsOfUser(w, f.UserID, f.Limit)
		var ids pg.Array
		err := pg.Each(ctx, s.db, query, func(scan pg.Scan) error {
			var id int64
			err := scan(&id)
			ids.Int(id)
			return err
		}, args...)
		if err != nil {
			return nil, err
		}
		w, order = pg.Where{}, "l.id DESC"
		w.Add("l.id = ANY (?::bigint[])", ids.Param())
	}
	inSeen(ctx, &w, "u.community", f.Community)
	query := selectLogs + w.Page(order, f.Limit)
	return s.queryLogs(ctx, query, w.Args...)
}

func (s *Store) queryLogs(ctx context.Context, query string, args ...any) ([]admin.Log, error) {
	return pg.Collect(ctx, s.db, query, func(scan pg.Scan, l *admin.Log) error {
		var currency applier.Currency
		var amount, balance int64
		err := scan(&l.Entry, (*pg.ID)(&l.DeliveryID), (*pg.ID)(&l.User.ID), &l.User.Email, &l.User.Username, &l.Currency, &currency.Scale, &l.Operator,
			&amount, &balance, &l.Action, &l.Community, (*pg.Time)(&l.At))
		l.Amount, l.Balance = currency.Format(amount), currency.Format(balance)
		return err
	}, args...)
}
