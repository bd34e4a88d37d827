package lateusers

import (
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// TestParkedReplaysAreInNobodysWay: they leave room for others, count for the bound of
// their user, and are not published again before they are due.
func TestParkedReplaysAreInNobodysWay(t *testing.T) {
	t.Parallel()
	now := time.Now()
	o := outstanding{sent: map[delivery.ID]sent{}}
	user := postgres.LateUser{ID: delivery.NewID(), WebhookID: "wh_a"}
	var all []postgres.LateDelivery
	for range 3 {
		d := postgres.LateDelivery{ID: delivery.NewID(), User: user.ID, WebhookID: user.WebhookID}
		all = append(all, d)
		o.add(d, now)
	}
	o.park([]postgres.ParkedReplay{
		{DeliveryID: all[0].ID, WaitingReplay: admin.WaitingReplay{ID: replayID(all[0])}},
		{DeliveryID: all[1].ID, WaitingReplay: admin.WaitingReplay{ID: delivery.NewID()}}, // another replay, such as by an admin
		{DeliveryID: delivery.NewID(), WaitingReplay: admin.WaitingReplay{ID: delivery.NewID()}},
	})
	runs := map[postgres.LateUser]int{user: 0}
	o.addTo(runs)
	if n := o.count(); n != 2 || runs[user] != 3 {
		t.Errorf("%d are under way, %d count for the user; want 2 and 3", n, runs[user])
	}
	if underWay, due := o.has(all[0], now); !underWay || due {
		t.Errorf("the parked one is under way: %t, due: %t", underWay, due)
	}
	o.drop([]postgres.Execution{{DeliveryID: all[0].ID}})
	if underWay, _ := o.has(all[0], now); underWay {
		t.Error("the one that ran is under way")
	}
}
