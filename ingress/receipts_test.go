package ingress_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// book is a ReceiptBook.
type book struct {
	receipt []byte
	err     error
}

func (b book) Receipt(context.Context, string, delivery.ID) ([]byte, bool, error) {
	return b.receipt, b.receipt != nil, b.err
}

// A receipt takes the credential of a delivery, and is not for webhooks that a signature
// alone protects.
func TestReceiptsTakeACredential(t *testing.T) {
	t.Parallel()
	text, key := secret.NewAPIKey(noon.Add(-time.Hour))
	signed := func(w *webhook.Webhook) { w.Auth.Signature = &webhook.Signature{} }
	for _, test := range []struct {
		name string
		w    *webhook.Webhook
		key  string
		want ingress.Code
	}{
		{"right_key", active(keyed(key)), text, ""},
		{"wrong_key", active(keyed(key)), "chk_x", ingress.InvalidAPIKey},
		{"no_key", active(keyed(key)), "", ingress.InvalidAPIKey},
		{"paused", active(keyed(key), paused), text, ""},
		{"draft", active(keyed(key), draft), text, ""},
		{"encrypted", active(keyed(key), gcm), text, ""},
		{"keyless", active(), "", ""},
		{"signature_alone", active(signed), "", ingress.DeliveryNotFound},
		{"disabled", active(keyed(key), disabled), text, ingress.WebhookNotFound},
		{"deleted", active(keyed(key), deleted), text, ingress.WebhookNotFound},
		{"unknown", nil, text, ingress.WebhookNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := receiver(definitions{id: test.w}, &publisher{})
			err := r.AuthenticateReceipt(ingress.Head{WebhookID: id, Method: "GET", Header: header("X-Api-Key", test.key)})
			if got := codeOrNone(t, err); got != string(test.want) {
				t.Errorf("error = %v, want %q", err, test.want)
			}
		})
	}
}

// codeOrNone is "" for no error.
func codeOrNone(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	return codeOf(t, err)
}

func TestReceiptsAreToldOrNot(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		book ingress.ReceiptBook
		want ingress.Code
	}{
		{"told", book{receipt: []byte("{}")}, ""},
		{"unknown", book{}, ingress.DeliveryNotFound},
		{"no_applier", book{err: errors.New("no responders")}, ingress.NotAccepted},
		{"no_book", nil, ingress.DeliveryNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := receiver(definitions{id: active()}, &publisher{})
			r.Receipts = test.book
			got, err := r.TellReceipt(t.Context(), id, delivery.ID{})
			if codeOrNone(t, err) != string(test.want) || test.want == "" && string(got) != "{}" {
				t.Errorf("%s, %v; want %q", got, err, test.want)
			}
		})
	}
}
