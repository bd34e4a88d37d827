package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// found is what a reader in the background has come to.
type found struct {
	d   delivery.Delivery
	err error
}

func waiting(t *testing.T, wait func(context.Context) (delivery.Delivery, error)) <-chan found {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	got := make(chan found, 1)
	go func() {
		d, err := wait(ctx)
		got <- found{d, err}
	}()
	return got
}

func TestSamples(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	p := startPublisher(t, conn)
	samples, err := conn.OpenSamples(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := newDelivery(t, "first")
	if _, ok, err := samples.Newest(t.Context(), first.WebhookID); ok || err != nil {
		t.Fatalf("a sample of nothing: %v, %v", ok, err)
	}
	other := newDelivery(t, "another webhook's")
	other.WebhookID = webhook.NewID()
	got := waiting(t, func(ctx context.Context) (delivery.Delivery, error) { return samples.Wait(ctx, first.WebhookID) })
	for _, d := range []delivery.Delivery{other, first} {
		if err := p.Capture(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if f := <-got; f.err != nil || f.d.ID != first.ID {
		t.Errorf("waited for %q, %v", f.d.Body, f.err)
	}
	second := newDelivery(t, "second")
	if err := p.Capture(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if d, ok, err := samples.Newest(t.Context(), first.WebhookID); !ok || err != nil || d.ID != second.ID {
		t.Errorf("the newest is %q, %v, %v", d.Body, ok, err)
	}
	if all, err := samples.All(t.Context(), first.WebhookID); err != nil || len(all) != 2 || all[0].ID != second.ID || all[1].ID != first.ID {
		t.Errorf("there are %v, %v, want both, the newest first", all, err)
	}
	if all, err := samples.All(t.Context(), webhook.NewID()); err != nil || len(all) != 0 {
		t.Errorf("samples of nothing: %v, %v", all, err)
	}
	if d, err := samples.Wait(t.Context(), first.WebhookID); err != nil || d.ID != second.ID {
		t.Errorf("waiting where there are samples gives %q, %v", d.Body, err)
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	samples, err := conn.OpenSamples(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := samples.Wait(ctx, webhook.NewID()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waited until %v", err)
	}
}

func TestNewestDelivery(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	p := startPublisher(t, conn)
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wanted, other := newDelivery(t, "wanted"), newDelivery(t, "other")
	other.WebhookID = webhook.NewID()
	if _, end, ok, err := stream.Newest(t.Context(), wanted.WebhookID, 10); ok || err != nil || end != 0 {
		t.Fatalf("of an empty stream: %v, %v, end %d", ok, err, end)
	}
	got := waiting(t, func(ctx context.Context) (delivery.Delivery, error) { return stream.Wait(ctx, wanted.WebhookID, 0) })
	for _, d := range []delivery.Delivery{other, wanted, other, other} {
		d.ID = newDelivery(t, "").ID
		if err := p.Publish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if f := <-got; f.err != nil || string(f.d.Body) != "wanted" {
		t.Errorf("waited for %q, %v", f.d.Body, f.err)
	}
	for limit, want := range map[int]bool{2: false, 3: true} {
		d, end, ok, err := stream.Newest(t.Context(), wanted.WebhookID, limit)
		if err != nil || ok != want || end != 4 || ok && d.Position.Sequence != 2 {
			t.Errorf("within %d messages: %v at %d, end %d, %v", limit, ok, d.Position.Sequence, end, err)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	defs := broker.NewDefinitions(conn)
	saved, err := defs.Create(t.Context(), record("Shop"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	const last = 70 // more than are kept
	for saved.Version < last {
		if saved, err = defs.Update(t.Context(), saved, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	versions, err := defs.Versions(t.Context(), saved.ID)
	if err != nil || len(versions) != 64 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	for i, v := range versions {
		if v.Version != last-i {
			t.Fatalf("place %d has version %d", i, v.Version)
		}
	}
	if _, err := defs.Versions(t.Context(), webhook.NewID()); !errors.Is(err, broker.ErrWebhookNotFound) {
		t.Errorf("versions of nothing: %v", err)
	}
}
