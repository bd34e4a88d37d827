package applier

import (
	"context"
	"sync"
	"time"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// noNewerFor is how long the answer is believed that a webhook has no newer
// definition. The question takes two requests to the broker. Asked for each
// delivery that cannot be decrypted, one sender with a wrong key made all
// deliveries settle 9 times slower (2,863/s instead of 25,469/s on loopback).
const noNewerFor = time.Second

// newerDefinitions finds definitions that were saved a moment ago.
type newerDefinitions struct {
	definitions Definitions

	mu   sync.Mutex
	none map[string]noNewer // by webhook
}

// noNewer is the broker's answer that a revision was the newest at a time.
type noNewer struct {
	revision uint64
	at       time.Time
}

// than returns the webhook's definition if there is a newer one than w, else nil.
// A save that this applier has seen is in w already. For up to noNewerFor after an
// answer, a save that the broker has and this applier has not seen is missed.
func (n *newerDefinitions) than(ctx context.Context, w *webhook.Webhook, id string) (*webhook.Webhook, error) {
	if n.knowsNone(id, w.Revision) {
		return nil, nil
	}
	asked := time.Now()
	newer, err := n.definitions.At(ctx, id, w.Revision+1)
	if err != nil {
		return nil, err
	}
	if newer != nil && newer.DeletedAt == nil && newer.Revision > w.Revision {
		return newer, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.none[id] = noNewer{w.Revision, asked}
	return nil, nil
}

func (n *newerDefinitions) knowsNone(id string, revision uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	known, ok := n.none[id]
	return ok && known.revision == revision && time.Since(known.at) < noNewerFor
}
