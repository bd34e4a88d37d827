package history

import (
	"context"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Activity is what a webhook was sent: the newest delivery that has an outcome, and
// how many dead letters it has.
type Activity = postgres.WebhookActivity

// Activities returns what these webhooks were sent, by their ids; those that never
// were sent anything are left out.
func (h *History) Activities(ctx context.Context, ids []string) (map[string]Activity, error) {
	all, err := h.store.WebhookActivities(ctx, ids)
	return all, databaseAway(err)
}

// Keyed returns the deliveries of these webhooks that came with an idempotency key of
// one text, such as a sender's order id: the one that took effect, those that repeat
// it, and dead letters. Newest first, up to a limit. Pending ones are not included.
func (h *History) Keyed(ctx context.Context, webhookIDs []string, key string, limit int) ([]delivery.ID, error) {
	ids, err := h.store.Keyed(ctx, webhookIDs, key, limit)
	return ids, databaseAway(err)
}
