package postgres

import (
	"context"
	"fmt"
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
	if f.WebhookID != "" {
		w.Add("o.webhook_id = ?", f.WebhookID)
	}
	if f.Version != 0 {
		w.Add("o.version = ?", f.Version)
	}
	w.ReceivedIn("o.delivery_id", "o.received_at", f.Since, f.Until)
	if f.Before != (delivery.ID{}) {
		w.Add("o.delivery_id < ?", f.Before.String())
	}
	var query string
	args := append(w.Args, f.Limit)
	if f.UserID != (delivery.ID{}) {
		query, args = ofUser(w, f.UserID, f.Limit)
	} else {
		query = "SELECT o.delivery_id FROM outcomes o" + w.String() + fmt.Sprintf(" ORDER BY o.delivery_id DESC LIMIT $%d", len(args))
	}
	ids, err := pg.QueryIDs(ctx, s.db, query, args...)
	return ids, pg.Wrap(err, "list applied deliveries")
}
