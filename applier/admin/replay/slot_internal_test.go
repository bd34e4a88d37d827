package replay

import (
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// TestAReplayIsInTheSlotOfItsCommunity: else another partition than that of the
// user's other deliveries would settle it.
func TestAReplayIsInTheSlotOfItsCommunity(t *testing.T) {
	t.Parallel()
	var r Request
	l := admin.Letter{Delivery: admin.Delivery{ID: delivery.NewID(), Community: "shop", WebhookID: "wh_a"}}
	d := r.replayOf(delivery.NewID(), l, postgres.DeadLetterBody{}, 1, time.Now())
	if want := delivery.SlotOf("shop"); d.Slot != want {
		t.Errorf("slot %d, want %d", d.Slot, want)
	}
}
