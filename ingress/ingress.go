// Package ingress is the vocabulary of the service that takes requests in: it
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
	// definitions have not been read yet: then nothing can be said of any id.
	Lookup(id string) (w *webhook.Webhook, known bool)
}

// Publisher stores what was accepted. Both methods return nil only once the
// broker has confirmed it as stored; after an error the outcome is unknown, and
// the sender has to try again.
type Publisher interface {
	Publish(ctx context.Context, d delivery.Delivery) error
	Capture(ctx context.Context, d delivery.Delivery) error
}
