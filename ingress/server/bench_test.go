package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/ingress"
)

// BenchmarkHandler measures one request of 400 bytes without a network: the
// whole handler, and what net/http's own mux takes to do the same without
// limits, metrics and logs.
func BenchmarkHandler(b *testing.B) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hooks/{webhook_id}", func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			panic(err)
		}
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		receipt, _ := accept.Receive(ctx, ingress.Request{WebhookID: r.PathValue("webhook_id"), Header: r.Header, Body: body})
		w.Header()["Content-Type"] = jsonContentType
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"id":"`+receipt.ID.String()+`","status":"`+receipt.Status+`"}`)
	})
	whole := New(Options{Receiver: accept, Metrics: prometheus.NewRegistry(), Log: zerolog.Nop()})
	for name, handler := range map[string]http.Handler{"echo": whole.http.Handler, "mux": mux} {
		b.Run(name, func(b *testing.B) {
			payload := bytes.Repeat([]byte("x"), 400)
			reader := bytes.NewReader(payload)
			req := httptest.NewRequest("POST", "/hooks/"+hook, nil)
			req.ContentLength, req.Body = int64(len(payload)), io.NopCloser(reader)
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(payload)
				w := discard{header: http.Header{}}
				handler.ServeHTTP(&w, req)
				if w.status != http.StatusAccepted {
					b.Fatalf("status %d", w.status)
				}
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
