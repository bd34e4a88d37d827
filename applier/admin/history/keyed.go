package history

import (
	"context"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Keyed returns the deliveries of these webhooks that came with an idempotency key of
// one text, such as a sender's order id: the one that took effect, those that repeat
// it, and dead letters. Newest first, at most so many. Pending ones are not known.
func (h *History) Keyed(ctx context.Context, webhookIDs []string, key string, limit int) ([]delivery.ID, error) {
	ids, err := h.store.Keyed(ctx, webhookIDs, key, limit)
	return ids, databaseAway(err)
}
