package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

// forge publishes a delivery to the stream past the ingress, with a user of NATS that
// may. It returns the id that the delivery claims.
func (h *hook) forge(t *testing.T, body string, change func(*deliverypb.Delivery)) delivery.ID {
	t.Helper()
	nc, err := nats.Connect(h.Env()["NATS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	id := delivery.NewID()
	d := &deliverypb.Delivery{Id: id[:], WebhookId: h.ID, ReceivedAtUs: time.Now().UnixMicro(), Body: []byte(body)}
	change(d)
	data, err := proto.Marshal(&deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{d}})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := nc.Request("coinhook.deliveries", data, 10*time.Second); err != nil || strings.Contains(string(answer.Data), "error") {
		t.Fatalf("published with %v, %s", err, answer.Data)
	}
	return id
}

// A forger who can publish to the broker, but has no key, changes no balance. The audit
// names each message, and `dlq replay --all` signs none of them.
func TestWhoHasNoDeliveryKeyChangesNoBalance(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "mallory")
	plain := w.hook(t, "plain", "active", userLine+addCoins)
	encrypted := w.hook(t, "encrypted", "active", userLine+addCoins)
	var set struct {
		Key string `json:"aes_key"`
	}
	w.query(t, &set, "webhooks", "set-encryption", encrypted.ID, "gcm", "--yes")
	body := coinsBody("mallory", "1000000")
	all := []delivery.ID{
		plain.forge(t, body, func(*deliverypb.Delivery) {}),
		plain.forge(t, body, func(d *deliverypb.Delivery) { d.Mac = make([]byte, 16) }),
		plain.forge(t, body, func(d *deliverypb.Delivery) {
			replay := delivery.NewID()
			d.Replay = &deliverypb.Replay{Id: replay[:], Cause: "manual", RequestedBy: "ada", RequestedAtUs: d.ReceivedAtUs, Edited: true}
		}),
		encrypted.forge(t, body, func(*deliverypb.Delivery) {}),
		encrypted.forge(t, body, func(d *deliverypb.Delivery) { d.WebhookRevision = 1 }),
	}
	good := plain.deliver(t, coinsBody("mallory", "1"))
	w.settled(t, good)
	w.awaitCount(t, len(all), "SELECT count(*) FROM outcomes WHERE community = $1 AND reason = 'malformed_delivery'")
	w.wantBalances(t, "mallory", "1", "0")

	var found auditJSON
	w.audit(t, 1, &found)
	text := fmt.Sprint(w.coinhook(t, "audit").stdout)
	for _, id := range all {
		if !strings.Contains(text, id.String()) {
			t.Errorf("the audit does not name %s:\n%s", id, text)
		}
	}
	failed := w.list(t, "--community", w.community, "--reason", "malformed_delivery")
	if len(failed) != len(all) {
		t.Errorf("%d are listed, want %d", len(failed), len(all))
	}
	if c := w.coinhook(t, "dlq", "replay", "--community", w.community, "--all", "--yes"); !strings.Contains(c.stderr+c.stdout, "--reason malformed_delivery") {
		t.Errorf("dlq replay --all says %s%s", c.stdout, c.stderr)
	}
	w.wantNonePending(t)
	w.wantBalances(t, "mallory", "1", "0")

	key, err := os.ReadFile(filepath.Join(w.Dir(), "delivery-key"))
	if err != nil || strings.TrimSpace(string(key)) != w.Env()["DELIVERY_KEY"] {
		t.Fatalf("the stack's key: %v", err)
	}
	for _, file := range w.logFiles() {
		if log, err := os.ReadFile(file); err != nil || strings.Contains(string(log), w.Env()["DELIVERY_KEY"]) {
			t.Errorf("%s shows the key, or %v", file, err)
		}
	}
}
