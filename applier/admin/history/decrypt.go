package history

import (
	"context"
	"errors"

	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Decrypted returns what a delivery holds whose body came encrypted, nil where
// there is nothing to decrypt or it cannot be. locked is why a key that may fit
// cannot be used.
func (h *History) Decrypted(ctx context.Context, full Full, payloads *sealed.Payloads) (payload []byte, locked, err error) {
	d := delivery.Delivery{ReceivedAt: full.ReceivedAt, Headers: full.Headers, Body: full.Payload}
	if !d.SaysEncrypted() || full.Payload == nil {
		return nil, nil, nil
	}
	saved, err := h.definitions.Get(ctx, full.WebhookID)
	if errors.Is(err, broker.ErrWebhookNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if saved.IsNewer() {
		return nil, saved.Newer, nil
	}
	w := webhook.Webhook{Record: saved.Record, Revision: saved.Revision}
	payload, failure, locked := payloads.Open(&w, &d)
	if locked != nil || failure != nil {
		return nil, locked, nil
	}
	return payload, nil, nil
}
