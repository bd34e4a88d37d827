package e2e

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// withAppliersStopped runs f between a stop and a start of all appliers: what f
// sends is pending as long as f runs.
func (w *world) withAppliersStopped(t *testing.T, f func()) {
	t.Helper()
	w.stopParts(t, w.appliers()...)
	f()
	w.startParts(t, w.appliers()...)
}

func TestPendingDeliveriesAreListedUntilTheyAreSettled(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	other := w.hook(t, "other", "active", userLine+addCoins)
	settled := h.deliver(t, coinsBody("ann", "1"))
	w.awaitRows(t, settled)

	const sent = 60 // more than a list's default
	ids := make([]string, 0, sent)
	w.withAppliersStopped(t, func() {
		for range sent {
			ids = append(ids, h.deliver(t, coinsBody("ann", "2"), "X-Trace", "abc"))
		}
		otherID := other.deliver(t, coinsBody("ann", "3"))

		pending := w.list(t, "--status", "pending", "--limit", "1000")
		if len(pending) != sent+1 || pending[0].ID != otherID {
			t.Errorf("%d are pending, want %d, the newest first", len(pending), sent+1)
		}
		for i, d := range w.list(t, "--status", "pending", "--webhook", "shop", "--community", w.community, "--limit", "1000") {
			want := ids[sent-1-i]
			if d.ID != want || d.Status != "pending" || d.Webhook != "shop" || d.WebhookID != h.ID || d.Community != w.community {
				t.Errorf("pending %d = %+v, want %s of shop", i, d, want)
			}
			if d.Outcome != "" || d.Reason != "" || d.FinishedAt != nil || len(d.Changes) != 0 || d.ReceivedAt.IsZero() {
				t.Errorf("pending %d = %+v, want it without any outcome", i, d)
			}
		}
		if got := w.list(t, "--status", "pending"); len(got) != 50 {
			t.Errorf("%d are listed without --limit, want 50", len(got))
		}
		if got := w.list(t, "--limit", "1000"); len(got) != sent+2 || got[len(got)-1].ID != settled {
			t.Errorf("%d deliveries in all, want %d with the settled one at the end", len(got), sent+2)
		}
		d := w.show(t, ids[0])
		if d.Status != "pending" || d.payload() != coinsBody("ann", "2") || d.Webhook != "shop" {
			t.Errorf("show = %+v, want it pending with its payload", d)
		}
		if !hasHeader(d, "X-Trace", "abc") || hasHeader(d, "X-Api-Key", h.APIKey) {
			t.Errorf("headers = %v, want X-Trace and no key", d.Headers)
		}
		w.wantBalances(t, "ann", "1", "0")
	})
	w.awaitRows(t, ids...)
	w.wantNonePending(t)
	w.wantBalances(t, "ann", "124", "0")
}

func hasHeader(d deliveryJSON, name, value string) bool {
	for _, h := range d.Headers {
		if h.Name == name && h.Value == value {
			return true
		}
	}
	return false
}

func TestWhatHappensToAWebhookWhileItsDeliveriesArePending(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	deleted := w.hook(t, "deleted", "active", userLine+addCoins)
	drafted := w.hook(t, "drafted", "active", userLine+addCoins)
	disabled := w.hook(t, "disabled", "active", userLine+addCoins)
	body := coinsBody("ann", "5")
	var ofDeleted, ofDrafted, ofDisabled string
	w.withAppliersStopped(t, func() {
		ofDeleted, ofDrafted, ofDisabled = deleted.deliver(t, body), drafted.deliver(t, body), disabled.deliver(t, body)
		w.query(t, new(map[string]string), "webhooks", "delete", "deleted", "--community", w.community)
		drafted.apply(t, w.yaml("drafted", "draft", ""))
		w.query(t, new(webhookJSON), "webhooks", "disable", disabled.ID)
		if d := w.show(t, ofDeleted); d.Status != "pending" || d.payload() != body {
			t.Errorf("delivery of a deleted webhook = %+v, want it pending", d)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		d := w.settled(t, ofDeleted)
		wantFailed(t, d, failure{body: body, reason: "webhook_deleted", detail: []string{"deleted"}})
		if d.Webhook != "deleted" || d.Community != w.community {
			t.Errorf("delivery = %+v, want the name and community of what it was sent to", d)
		}
	})
	t.Run("a_draft_without_mappings", func(t *testing.T) {
		d := w.settled(t, ofDrafted)
		wantFailed(t, d, failure{body: body, reason: "invalid_mapping", detail: []string{"mappings"}})
		if d.Version != drafted.Version {
			t.Errorf("decided by version %d, want %d", d.Version, drafted.Version)
		}
	})
	t.Run("disabled", func(t *testing.T) {
		if d := w.settled(t, ofDisabled); d.Outcome != "applied" {
			t.Errorf("delivery = %+v: it was accepted before, and so executed", d)
		}
	})
	w.wantBalances(t, "ann", "5", "0")
}

func TestGarbageInTheStreamIsADeliveryThatFails(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	garbage := []string{"\xff\xff\xffgarbage", `{"user":"ann","amount":5}`, ""}
	publish(t, w.Env()["NATS_URL"], garbage...)
	good := h.deliver(t, coinsBody("ann", "1"))
	if d := w.settled(t, good); d.Outcome != "applied" {
		t.Errorf("the delivery after the garbage = %+v, want it applied", d)
	}
	w.wantNonePending(t)
	failed := w.list(t, "--reason", "malformed_delivery")
	if len(failed) != len(garbage) {
		t.Fatalf("%d deliveries are malformed, want %d: %+v", len(failed), len(garbage), failed)
	}
	for i, d := range failed {
		want := garbage[len(garbage)-1-i]
		t.Run(strings.ToValidUTF8(want, "?"), func(t *testing.T) {
			wantFailed(t, w.show(t, d.ID), failure{body: want, reason: "malformed_delivery"})
			if !uuidV7.MatchString(d.ID) {
				t.Errorf("id = %s, want a UUIDv7", d.ID)
			}
		})
	}
	w.wantBalances(t, "ann", "1", "0")
}

// publish puts messages straight into the stream of deliveries.
func publish(t *testing.T, url string, messages ...string) {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if _, err := js.Publish(withDeadline(t), "coinhook.deliveries", []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}
