// Package ingress is the core of the service that accepts requests: it
// authenticates them and hands them to the broker. It knows nothing of
// connections, of the broker's client, or of the payload.
package ingress

import (
	"context"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Definitions finds webhooks in memory.
type Definitions interface {
	// Lookup returns the newest known definition. known is false while the
	// definitions have not been read yet: then nobody knows which ids exist.
	Lookup(id string) (w *webhook.Webhook, known bool)
}

// Publisher stores accepted deliveries. Both methods return nil only once the broker has
// confirmed them as stored. After an error the result is unknown, and the sender has to
// retry.
type Publisher interface {
	Publish(ctx context.Context, d delivery.Delivery) error
	Capture(ctx context.Context, d delivery.Delivery) error
}
