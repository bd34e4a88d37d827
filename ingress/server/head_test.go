package server

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/proxies"
)

// TestHead: senders that sign the URL sign the one that they called.
func TestHead(t *testing.T) {
	t.Parallel()
	forwarded := http.Header{
		"X-Forwarded-For": {"203.0.113.7"}, "X-Forwarded-Proto": {"http, https"}, "X-Forwarded-Host": {"evil.example, hooks.example"},
	}
	const path = "/hooks/" + hook + "?a=%2F&b=1"
	for _, tt := range []struct {
		name      string
		peer      string
		tls       bool
		header    http.Header
		target    string
		public    string
		url, from string
	}{
		{name: "direct", peer: "192.0.2.1:9", url: "http://in.example" + path, from: "192.0.2.1"},
		{name: "TLS", peer: "192.0.2.1:9", tls: true, url: "https://in.example" + path, from: "192.0.2.1"},
		{name: "a whole URL on the request line", peer: "192.0.2.1:9", target: "http://in.example" + path, url: "http://in.example" + path, from: "192.0.2.1"},
		{name: "a trusted proxy", peer: "10.0.0.1:9", header: forwarded, url: "https://hooks.example" + path, from: "203.0.113.7"},
		{name: "a trusted proxy that says nothing", peer: "10.0.0.1:9", url: "http://in.example" + path, from: "10.0.0.1"},
		{name: "a scheme that is none", peer: "10.0.0.1:9", header: http.Header{"X-Forwarded-Proto": {"gopher"}}, url: "http://in.example" + path, from: "10.0.0.1"},
		{name: "a stranger's headers", peer: "192.0.2.1:9", header: forwarded, url: "http://in.example" + path, from: "192.0.2.1"},
		{name: "a public URL", peer: "10.0.0.1:9", header: forwarded, public: "https://pay.example/in/", url: "https://pay.example/in" + path, from: "203.0.113.7"},
		{name: "IPv6", peer: "[2001:db8::1]:9", url: "http://in.example" + path, from: "2001:db8::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var trusted proxies.Trusted
			if err := trusted.UnmarshalText([]byte("10.0.0.0/8")); err != nil {
				t.Fatal(err)
			}
			opts := Options{Receiver: accept, TrustedProxies: trusted}
			if tt.public != "" {
				opts.URL, _ = url.Parse(tt.public)
			}
			target := path
			if tt.target != "" {
				target = tt.target
			}
			r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, target, http.NoBody)
			r.Host, r.RemoteAddr, r.Header, r.TLS = "in.example", tt.peer, tt.header, nil
			if tt.tls {
				r.TLS = &tls.ConnectionState{}
			}
			var got ingress.Head
			e := echo.New()
			e.IPExtractor = trusted.Extractor()
			s := New(opts)
			e.POST("/hooks/:webhook_id", func(c echo.Context) error {
				got = s.head(c)
				return nil
			})
			e.ServeHTTP(httptest.NewRecorder(), r)
			if got.URL() != tt.url || got.Address.String() != tt.from || got.WebhookID != hook || got.Method != http.MethodPost {
				t.Errorf("head %+v with URL %s, want %s from %s", got, got.URL(), tt.url, tt.from)
			}
		})
	}
}
