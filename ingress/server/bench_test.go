package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// oneWebhook is all that is known, and nowhere is where deliveries go.
type (
	oneWebhook struct{ *webhook.Webhook }
	nowhere    struct{}
)

func (w oneWebhook) Lookup(string) (*webhook.Webhook, bool) { return w.Webhook, true }

func (nowhere) Publish(context.Context, delivery.Delivery) error { return nil }
func (nowhere) Capture(context.Context, delivery.Delivery) error { return nil }

// wholeHandler is the ingress without connections and broker, and bare what echo
// takes to check the key and to answer without limits, metrics and logs. Each call
// of the functions that it returns is one request of 400 bytes, on a sender's own
// connection or on one that many share.
func wholeHandler(tb testing.TB, direct bool) (whole, bare func()) {
	tb.Helper()
	text, key := secret.NewAPIKey(time.Now())
	w := &webhook.Webhook{Revision: 7}
	w.ID, w.State, w.Community, w.Auth.APIKey, w.APIKeys = hook, webhook.Active, "default", true, []secret.APIKey{key}
	s := New(Options{
		Receiver: &ingress.Receiver{Definitions: oneWebhook{w}, Publisher: nowhere{}, NewID: delivery.NewID, Now: time.Now},
		Metrics:  prometheus.NewRegistry(), Log: zerolog.Nop(),
	})
	e := echo.New()
	e.POST("/hooks/:webhook_id", func(c echo.Context) error {
		r := c.Request()
		if !secret.Matches(r.Header.Get("X-Api-Key"), w.APIKeys, time.Now()) {
			return echo.ErrUnauthorized
		}
		if _, err := io.ReadFull(r.Body, make([]byte, r.ContentLength)); err != nil {
			return err
		}
		return c.JSONBlob(http.StatusAccepted, append(delivery.NewID().Append([]byte(`{"id":"`)), `","status":"pending"}`...))
	})
	payload := bytes.Repeat([]byte("x"), 400)
	reader := bytes.NewReader(payload)
	req := httptest.NewRequest("POST", "/hooks/"+hook, nil)
	req.Header = http.Header{"X-Api-Key": {text}, "Content-Type": {"application/json"}, "Content-Length": {"400"}, "User-Agent": {"bench"}}
	req.ContentLength, req.Body = int64(len(payload)), io.NopCloser(reader)
	if direct {
		req = req.WithContext(context.WithValue(req.Context(), connKey{}, &conn{client: new(client), door: s.door}))
	}
	serve := func(handler http.Handler) func() {
		return func() {
			reader.Reset(payload)
			w := discard{header: http.Header{}}
			handler.ServeHTTP(&w, req)
			if w.status != http.StatusAccepted {
				tb.Fatalf("status %d", w.status)
			}
		}
	}
	return serve(s.http.Handler), serve(e)
}

func BenchmarkHandler(b *testing.B) {
	whole, bare := wholeHandler(b, true)
	forwarded, _ := wholeHandler(b, false)
	for name, serve := range map[string]func(){"whole": whole, "forwarded": forwarded, "bare": bare} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}

// discard is a ResponseWriter that keeps the status only.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
