package server

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// bookkeeper gives receipts, and counts what is noted of refusals.
type bookkeeper struct {
	receiverFunc
	wrongKey bool
	receipt  string
	err      error
	noted    atomic.Int64
}

func (b *bookkeeper) AuthenticateReceipt(ingress.Head) error {
	if b.wrongKey {
		return &ingress.Error{Code: ingress.InvalidAPIKey, Detail: "wrong"}
	}
	return nil
}

func (b *bookkeeper) TellReceipt(_ context.Context, webhookID string, id delivery.ID) ([]byte, error) {
	if webhookID != hook || id.String() != deliveryID {
		return nil, ingress.NoDelivery()
	}
	return []byte(b.receipt), b.err
}

func (b *bookkeeper) Refused(ingress.Head, *ingress.Error, int64) { b.noted.Add(1) }

func TestA202NamesItsReceipt(t *testing.T) {
	t.Parallel()
	b := &bookkeeper{receiverFunc: accept, receipt: `{"status":"pending"}`}
	s := start(t, Options{Receiver: b})
	location := s.post("x").header.Get("Location")
	if want := "/hooks/" + hook + "/deliveries/" + deliveryID; location != want {
		t.Fatalf("Location = %q, want %q", location, want)
	}
	got := s.do("GET", location, nil)
	if got.status != http.StatusOK || got.body != b.receipt || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("the receipt is %d %s %v", got.status, got.body, got.header)
	}
	captured := receiverFunc(func(context.Context, ingress.Request) (ingress.Receipt, error) {
		return ingress.Receipt{Status: ingress.Captured}, nil
	})
	if got := start(t, Options{Receiver: captured}).post("x"); got.header.Get("Location") != "" {
		t.Errorf("a sample has the receipt %q", got.header.Get("Location"))
	}
}

func TestReceiptsThatAreRefused(t *testing.T) {
	t.Parallel()
	const path = "/hooks/" + hook + "/deliveries/"
	for _, test := range []struct {
		name, path string
		receiver   *bookkeeper
		status     int
		code       string
		noted      int64
	}{
		{"another_delivery", path + "01920f4e-7f00-7000-8000-000000000002", &bookkeeper{}, 404, "delivery_not_found", 0},
		{"no_id", path + "x", &bookkeeper{}, 404, "delivery_not_found", 0},
		{"no_webhook", "/hooks/x/deliveries/" + deliveryID, &bookkeeper{}, 404, "webhook_not_found", 0},
		{"wrong_key", path + deliveryID, &bookkeeper{wrongKey: true}, 401, "invalid_api_key", 1},
		{"no_applier", path + deliveryID, &bookkeeper{err: &ingress.Error{Code: ingress.NotAccepted, Detail: "later", Err: errors.New("away")}}, 503, "not_accepted", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{Receiver: test.receiver})
			got := s.do("GET", test.path, nil)
			wantProblem(t, got, test.status, test.code)
			if test.status == 503 && got.header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			if n := test.receiver.noted.Load(); n != test.noted {
				t.Errorf("%d were noted, want %d", n, test.noted)
			}
		})
	}
}

func TestReceiptsAreForGET(t *testing.T) {
	t.Parallel()
	b := &bookkeeper{receiverFunc: accept, receipt: `{"status":"pending"}`}
	s := start(t, Options{Receiver: b})
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "BREW"} {
		got := s.do(method, "/hooks/"+hook+"/deliveries/"+deliveryID, nil)
		if method != "HEAD" {
			wantProblem(t, got, 405, "method_not_allowed")
		}
		if got.status != 405 || got.header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, Allow %q, want 405 and GET", method, got.status, got.header.Get("Allow"))
		}
		if method != "HEAD" {
			wantProblem(t, s.do(method, "/hooks/wh_x/deliveries/"+deliveryID, nil), 404, "webhook_not_found")
		}
	}
}

// A refused request is noted for admins after it has its answer.
func TestRefusalsAreNoted(t *testing.T) {
	t.Parallel()
	b := &bookkeeper{receiverFunc: refuse(&ingress.Error{Code: ingress.InvalidSignature, Detail: "no"})}
	s := start(t, Options{Receiver: b})
	s.post("x")
	s.do("DELETE", "/hooks/"+hook, nil)
	s.do("GET", "/nowhere", nil)
	s.client.CloseIdleConnections()
	s.stop()
	<-s.served
	if n := b.noted.Load(); n != 3 { // the receiver tells whether there is such a webhook
		t.Errorf("%d were noted, want 3", n)
	}
}
