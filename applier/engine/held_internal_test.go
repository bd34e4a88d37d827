package engine

import (
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// The detail says what to do about the reason that is shown next to it.
func TestAWebhookThatIsPausedMeanwhileSaysSo(t *testing.T) {
	t.Parallel()
	h := heldWebhook{reason: applier.KeyUnavailable, detail: applier.KeyUnavailable.Detail()}
	if h.mayGoOn(&webhook.Webhook{Record: webhook.Record{Definition: webhook.Definition{State: webhook.Paused}}}, time.Now()) {
		t.Error("a paused webhook goes on")
	}
	if h.reason != applier.Paused || h.detail != applier.Paused.Detail() {
		t.Errorf("its deliveries wait for %q: %s", h.reason, h.detail)
	}
}
