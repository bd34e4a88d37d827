package postgres

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// AppliedFilter narrows a list of applied deliveries; zero values do not.
type AppliedFilter struct {
	Community string
	WebhookID string
	// Version is that of the definition that decided.
	Version int
	UserID  delivery.ID
	// Since and Until are about when deliveries were received. Until is exclusive.
	Since, Until time.Time
	// Before is the last id of the page before.
	Before delivery.ID
	Limit  int
}

// ListApplied returns the ids of applied deliveries, newest first, those too that
// are reverted.
func (s *Store) ListApplied(ctx context.Context, f AppliedFilter) ([]delivery.ID, error) {
	w := pg.Where{Conditions: []string{"o.outcome = 'applied'"}}
	inSeen(ctx, &w, "o.community", f.Community)
	w.Narrow("o.webhook_id = ?", f.WebhookID)
	w.Narrow("o.version = ?", f.Version)
	w.ReceivedIn("o.delivery_id", "o.received_at", f.Since, f.Until)
	w.Narrow("o.delivery_id < ?", f.Before)
	var query string
	if f.UserID != (delivery.ID{}) {
		query, w.Args = ofUser(w, f.UserID, f.Limit)
	} else {
		query = "SELECT o.delivery_id FROM outcomes o" + w.Page("o.delivery_id DESC", f.Limit)
	}
	ids, err := pg.QueryIDs(ctx, s.db, query, w.Args...)
	return ids, pg.Wrap(err, "list applied deliveries")
}
