package ingress_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// definitions is a map that is known, or nil for one that is not.
type definitions map[string]*webhook.Webhook

func (d definitions) Lookup(id string) (*webhook.Webhook, bool) { return d[id], d != nil }

// publisher records what it was given.
type publisher struct {
	err                 error
	published, captured []delivery.Delivery
}

func (p *publisher) Publish(_ context.Context, d delivery.Delivery) error {
	p.published = append(p.published, d)
	return p.err
}

func (p *publisher) Capture(_ context.Context, d delivery.Delivery) error {
	p.captured = append(p.captured, d)
	return p.err
}

const id = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"

func active(change ...func(*webhook.Webhook)) *webhook.Webhook {
	w := &webhook.Webhook{Revision: 7}
	w.ID, w.State, w.Encryption = id, webhook.Active, webhook.NoEncryption
	for _, f := range change {
		f(w)
	}
	return w
}

func newer(w *webhook.Webhook)    { w.Format = webhook.RecordFormat + 1 }
func draft(w *webhook.Webhook)    { w.State = webhook.Draft }
func paused(w *webhook.Webhook)   { w.State = webhook.Paused }
func disabled(w *webhook.Webhook) { w.State = webhook.Disabled }
func deleted(w *webhook.Webhook)  { at := noon; w.DeletedAt = &at }
func gcm(w *webhook.Webhook)      { w.Encryption = webhook.GCM }
func cbc(w *webhook.Webhook)      { w.Encryption = webhook.CBC }

// keyed makes a webhook accept keys.
func keyed(keys ...secret.APIKey) func(*webhook.Webhook) {
	return func(w *webhook.Webhook) { w.Auth.APIKey, w.APIKeys = true, keys }
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func receiver(d ingress.Definitions, p ingress.Publisher) *ingress.Receiver {
	return &ingress.Receiver{
		Definitions: d, Publisher: p,
		NewID: func() delivery.ID { return delivery.ID{15: 1} },
		Now:   func() time.Time { return noon },
	}
}

func TestReceive(t *testing.T) {
	t.Parallel()
	text, key := secret.NewAPIKey(noon.Add(-time.Hour))
	old, oldKey := secret.NewAPIKey(noon.Add(-time.Hour))
	soon, gone := noon.Add(time.Nanosecond), noon
	overlapping, expired := oldKey, oldKey
	overlapping.ExpiresAt, expired.ExpiresAt = &soon, &gone

	for _, tt := range []struct {
		name    string
		webhook *webhook.Webhook
		unknown bool // the definitions have not been read
		header  http.Header
		empty   bool
		want    string // the status of the receipt, or the code
	}{
		{name: "an active webhook", webhook: active(), want: "pending"},
		{name: "a paused webhook", webhook: active(paused), want: "pending"},
		{name: "a paused webhook with key and encryption", webhook: active(paused, gcm, keyed(key)), header: header("x-api-key", text, "x-encrypted", "true"), want: "pending"},
		{name: "a paused webhook without its key", webhook: active(paused, keyed(key)), want: "invalid_api_key"},
		{name: "a draft", webhook: active(draft), want: "captured"},
		{name: "encryption that is not configured at all", webhook: active(func(w *webhook.Webhook) { w.Encryption = "" }), want: "pending"},
		{name: "the right key", webhook: active(keyed(key)), header: header("x-api-key", text), want: "pending"},
		{name: "the old key during the overlap", webhook: active(keyed(key, overlapping)), header: header("x-api-key", old), want: "pending"},
		{name: "the new key during the overlap", webhook: active(keyed(overlapping, key)), header: header("x-api-key", text), want: "pending"},
		{name: "a key that is not asked for", webhook: active(), header: header("x-api-key", "anything"), want: "pending"},
		{name: "GCM", webhook: active(gcm), header: header("x-encrypted", "true"), want: "pending"},
		{name: "CBC in capitals", webhook: active(cbc), header: header("X-ENCRYPTED", "TRUE"), want: "pending"},
		{name: "a draft with key and encryption", webhook: active(draft, gcm, keyed(key)), header: header("x-api-key", text, "x-encrypted", "true"), want: "captured"},

		{name: "an empty body", webhook: active(), empty: true, want: "empty_body"},
		{name: "saved by a newer version", webhook: active(newer), want: "not_accepted"},
		{name: "saved by a newer version as what may be disabled", webhook: active(newer, disabled), want: "not_accepted"},
		{name: "deleted by a newer version", webhook: active(newer, deleted), want: "webhook_not_found"},
		{name: "definitions not read", unknown: true, want: "not_accepted"},
		{name: "an unknown webhook", want: "webhook_not_found"},
		{name: "a disabled webhook", webhook: active(disabled), want: "webhook_not_found"},
		{name: "a deleted webhook", webhook: active(deleted), want: "webhook_not_found"},
		{name: "a state of a later version", webhook: active(func(w *webhook.Webhook) { w.State = "resting" }), want: "webhook_not_found"},
		{name: "no key", webhook: active(keyed(key)), want: "invalid_api_key"},
		{name: "an empty key", webhook: active(keyed(key)), header: header("x-api-key", ""), want: "invalid_api_key"},
		{name: "a wrong key", webhook: active(keyed(key)), header: header("x-api-key", old), want: "invalid_api_key"},
		{name: "the old key after the overlap", webhook: active(keyed(key, expired)), header: header("x-api-key", old), want: "invalid_api_key"},
		{name: "a webhook that has no key yet", webhook: active(keyed()), header: header("x-api-key", text), want: "invalid_api_key"},
		{name: "a draft without its key", webhook: active(draft, keyed(key)), want: "invalid_api_key"},
		{name: "encryption without the header", webhook: active(gcm), want: "encryption_required"},
		{name: "encryption with a header that says no", webhook: active(gcm), header: header("x-encrypted", "false"), want: "encryption_required"},
		{name: "a draft without encryption", webhook: active(draft, cbc), want: "encryption_required"},
		{name: "the header without encryption", webhook: active(), header: header("x-encrypted", "true"), want: "encryption_not_enabled"},
		{name: "a header that says no, without encryption", webhook: active(), header: header("x-encrypted", "false"), want: "pending"},

		{name: "order: definitions before body", unknown: true, empty: true, want: "not_accepted"},
		{name: "order: webhook before body", empty: true, want: "webhook_not_found"},
		{name: "order: key before body", webhook: active(keyed(key)), empty: true, want: "invalid_api_key"},
		{name: "order: webhook before key", webhook: active(disabled, keyed(key)), want: "webhook_not_found"},
		{name: "order: key before encryption required", webhook: active(gcm, keyed(key)), want: "invalid_api_key"},
		{name: "order: key before encryption not enabled", webhook: active(keyed(key)), header: header("x-encrypted", "true"), want: "invalid_api_key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			known := definitions{}
			if tt.webhook != nil {
				known[id] = tt.webhook
			}
			if tt.unknown {
				known = nil
			}
			body := []byte(`{"a":1}`)
			if tt.empty {
				body = []byte{}
			}
			var p publisher
			receipt, err := receive(t, receiver(known, &p), tt.header, body)
			got := receipt.Status
			if err != nil {
				got = codeOf(t, err)
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if published := tt.want == "pending"; (len(p.published) == 1) != published {
				t.Errorf("published %d times", len(p.published))
			}
			if captured := tt.want == "captured"; (len(p.captured) == 1) != captured {
				t.Errorf("captured %d times", len(p.captured))
			}
		})
	}
}

// receive makes both steps.
func receive(t *testing.T, r *ingress.Receiver, header http.Header, body []byte) (ingress.Receipt, error) {
	t.Helper()
	w, err := r.Authenticate(ingress.Head{WebhookID: id, Header: header})
	if err != nil {
		return ingress.Receipt{}, err
	}
	return r.Receive(t.Context(), ingress.Request{Head: ingress.Head{Header: header}, Webhook: w, Body: body})
}

func codeOf(t *testing.T, err error) string {
	t.Helper()
	var e *ingress.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want an *ingress.Error", err, err)
	}
	return string(e.Code)
}

func TestReceiveHandsOverTheDelivery(t *testing.T) {
	t.Parallel()
	var p publisher
	body := []byte("\x00\xff not JSON")
	ofShop := func(w *webhook.Webhook) { w.Community = "shop" }
	receipt, err := receive(t, receiver(definitions{id: active(ofShop)}, &p), header("X-Event", "paid", "X-Api-Key", "secret"), body)
	if err != nil {
		t.Fatal(err)
	}
	want := delivery.Delivery{
		ID: delivery.ID{15: 1}, WebhookID: id, Revision: 7, Slot: delivery.SlotOf("shop"), ReceivedAt: noon,
		Headers: []delivery.Header{{Name: "X-Event", Value: "paid"}}, Body: body,
	}
	if diff := cmp.Diff([]delivery.Delivery{want}, p.published); diff != "" {
		t.Errorf("published (-want +got):\n%s", diff)
	}
	if receipt != (ingress.Receipt{ID: want.ID, Status: "pending"}) {
		t.Errorf("receipt %+v", receipt)
	}
}

func TestReceiveHidesWhyTheBrokerDidNotStore(t *testing.T) {
	t.Parallel()
	away := errors.New("nats: no servers available at 10.1.2.3")
	for _, w := range []*webhook.Webhook{active(), active(draft)} {
		_, err := receive(t, receiver(definitions{id: w}, &publisher{err: away}), nil, []byte("x"))
		var e *ingress.Error
		if !errors.As(err, &e) || e.Code != ingress.NotAccepted {
			t.Fatalf("%s: error %v, want not_accepted", w.State, err)
		}
		if strings.Contains(e.Detail, "nats") || !errors.Is(e, away) || !strings.Contains(e.Error(), "00000000-0000-0000-0000-000000000001") {
			t.Errorf("%s: detail %q and cause %v; want the cause beside the detail, with the delivery's id", w.State, e.Detail, e.Err)
		}
	}
}

// TestWhatIsAuthenticatedIsNotAskedAgain: Receive decides by the definition that
// Authenticate found, also when that has changed while the body came.
func TestWhatIsAuthenticatedIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	text, key := secret.NewAPIKey(noon)
	known := definitions{id: active(keyed(key))}
	var p publisher
	r := receiver(known, &p)
	w, err := r.Authenticate(ingress.Head{WebhookID: id, Header: header("x-api-key", text)})
	if err != nil || w != known[id] {
		t.Fatalf("%v, %v", w, err)
	}
	known[id] = active(disabled)
	if _, err := r.Receive(t.Context(), ingress.Request{Webhook: w, Body: []byte("x")}); err != nil || len(p.published) != 1 {
		t.Errorf("error %v, %d published", err, len(p.published))
	}
}
