package engine_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// One record that cannot be read stops neither the other webhooks of its community nor
// an applier that starts with it.
func TestAnUnreadableRecordStopsNoOtherWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 3)
	bad, other := w.hook(t, "red", "Bad", "add"), w.hook(t, "red", "Other", "add")
	w.Server.SaveWebhook(bad.ID, []byte(`{"id":`))
	w.Server.SaveWebhook(webhook.NewID(), []byte(`no record`))
	started := broker.NewCatalog(w.Conn) // it never saw the record of before
	appliertest.Running(t, started.Run)
	appliertest.Eventually(t, "the definitions are read", func() bool { return started.Ready(t.Context()) == nil })
	w.catalog = started
	w.startOwner(t, 2)
	bad.send(t, 1, users...)
	other.send(t, 1, users...)
	appliertest.Eventually(t, "the other webhook's deliveries are settled", func() bool {
		return w.Number(`SELECT count(*) FROM outcomes WHERE status = 'success' AND webhook_id = $1`, other.ID) == 3
	})
	// Those of the unreadable one are decided by the version before, as its senders were
	// answered.
	w.awaitSettled(t, 6)
	if n := w.failed(t); n != 0 {
		t.Errorf("%d failed, want none", n)
	}
	w.awaitAcked(t)
}
