package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestARecordOfANewerVersionIsNotSaved(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		key   string
		newer bool
	}{
		"in a newer format":         {`"format":99`, true},
		"with a key, same format":   {`"colour":"red"`, false},
		"with a key inside another": {`"encryption":"none","auth":{"api_key":false,"oauth":"stripe"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := brokertest.Start(t)
			defs := broker.NewDefinitions(server.ConnectSetUp())
			created, err := defs.Create(t.Context(), record("Shop"), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if created.Newer != nil {
				t.Errorf("this version's own: %v", created.Newer)
			}
			server.SaveAsNewer(created.ID, tc.key)
			got, err := defs.Find(t.Context(), "default", "Shop")
			if err != nil {
				t.Fatal(err)
			}
			if got.IsNewer() != tc.newer || got.ID != created.ID || got.Name != "Shop" {
				t.Errorf("read as %+v", got)
			}
			if _, err := defs.Update(t.Context(), got, time.Now()); !errors.Is(err, broker.ErrNewer) {
				t.Errorf("saved: %v, want ErrNewer", err)
			}
			now, err := defs.Get(t.Context(), created.ID)
			if err != nil || now.Revision != got.Revision {
				t.Errorf("after the refusal there is revision %d, want %d; %v", now.Revision, got.Revision, err)
			}
			if all, err := defs.List(t.Context()); err != nil || len(all) != 1 {
				t.Errorf("listed as %v, %v", all, err)
			}
		})
	}
}

// TestTheCatalogKnowsThatADefinitionIsNewer: the definition before it must not stay
// in force, because the webhook says something else now.
func TestTheCatalogKnowsThatADefinitionIsNewer(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	defs := broker.NewDefinitions(conn)
	saved, err := defs.Create(t.Context(), record("Shop"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cat := broker.NewCatalog(conn)
	running(t, cat.Run)
	known := func(holds func(*webhook.Webhook) bool) func() bool {
		return func() bool {
			w, _ := cat.Lookup(saved.ID)
			return w != nil && holds(w)
		}
	}
	eventually(t, "the webhook is known", known(func(w *webhook.Webhook) bool { return !w.IsNewer() }))
	server.SaveAsNewer(saved.ID, `"format":99`)
	eventually(t, "it is known to be newer", known(func(w *webhook.Webhook) bool {
		return w.IsNewer() && w.Name == "Shop" && w.Revision > saved.Revision
	}))
	if w, err := cat.At(t.Context(), saved.ID, saved.Revision+1); err != nil || !w.IsNewer() {
		t.Errorf("at the newer revision: %+v, %v", w, err)
	}
	if w, err := cat.Version(t.Context(), saved.ID, saved.Version); err != nil || w == nil {
		t.Errorf("its version: %+v, %v", w, err)
	}
}

// TestANewerMessageStaysPending: it is handed out, marked as newer, and what the
// handler sets aside is not acked.
func TestANewerMessageStaysPending(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	publisher := startPublisher(t, conn)
	if err := publisher.Publish(t.Context(), newDelivery(t, "one")); err != nil {
		t.Fatal(err)
	}
	if text := server.MessageHeader(1, "Coinhook-Format"); text != "" {
		t.Errorf("this version's messages name the format %q, which older versions do not know", text)
	}
	server.PublishNewer(delivery.NewID(), "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa")
	handled := make(chan delivery.Delivery, 16)
	consumer := brokertest.NewConsumer(conn, func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		verdicts := make([]delivery.Verdict, len(batch))
		for i, d := range batch {
			if d.Newer {
				verdicts[i] = delivery.Parked(errors.New("newer"))
			}
			select {
			case handled <- d:
			case <-ctx.Done():
			}
		}
		return verdicts
	})
	running(t, consumer.Run)
	for range 2 {
		d := <-handled
		if d.Newer != (d.Position.Sequence == 2) || d.Malformed != "" {
			t.Errorf("handed out %+v", d)
		}
	}
	reader, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first message alone is acked", func() bool {
		p, err := reader.Pending(t.Context())
		return err == nil && p.First == 2 && p.Last == 2
	})
}

// TestTheFormatRisesWhileAWebhookIsPaused: an older applier would execute its
// deliveries. Once it is resumed, older versions read it again.
func TestTheFormatRisesWhileAWebhookIsPaused(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	defs := broker.NewDefinitions(server.ConnectSetUp())
	saved, err := defs.Create(t.Context(), record("Shop"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := func(step, format string) {
		t.Helper()
		if text := server.Record(saved.ID); strings.Contains(text, `"format"`) != (format != "") || !strings.Contains(text, format) {
			t.Errorf("%s: want %q in %s", step, format, text)
		}
	}
	save := func(state webhook.State) {
		t.Helper()
		saved.State = state
		if saved, err = defs.Update(t.Context(), saved, time.Now()); err != nil {
			t.Fatal(err)
		}
		if saved, err = defs.Get(t.Context(), saved.ID); err != nil || saved.IsNewer() || saved.Newer != nil || saved.State != state {
			t.Fatalf("read as %+v, %v", saved, err)
		}
	}
	want("created", "")
	save(webhook.Paused)
	want("paused", `"format":2`)
	save(webhook.Active)
	want("resumed", "")
	paused := record("Other")
	paused.State = webhook.Paused
	if saved, err = defs.Create(t.Context(), paused, time.Now()); err != nil {
		t.Fatal(err)
	}
	want("created as paused", `"format":2`)
}
