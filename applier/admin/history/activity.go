package history

import (
	"context"

	"github.com/coinhook/coinhook/applier/postgres"
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
