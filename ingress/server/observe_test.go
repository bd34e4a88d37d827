package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/proxies"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	s := start(t, Options{Metrics: registry, MaxBodyBytes: 10})
	s.post("1")
	s.post("2")
	s.post("12345678901")
	s.do("POST", "/hooks/other", strings.NewReader("3"))
	s.do("GET", "/hooks/"+hook, nil)
	s.do("GET", "/", nil)
	// Counting follows the answer: one drain waits for all handlers.
	s.client.CloseIdleConnections()
	s.stop()
	if err := <-s.served; err != nil {
		t.Fatal(err)
	}
	want := `# HELP coinhook_ingress_requests_total Requests answered, by the status of the receipt or the code of the problem.
# TYPE coinhook_ingress_requests_total counter
coinhook_ingress_requests_total{code="address_not_allowed"} 0
coinhook_ingress_requests_total{code="captured"} 0
coinhook_ingress_requests_total{code="delivery_not_found"} 0
coinhook_ingress_requests_total{code="empty_body"} 0
coinhook_ingress_requests_total{code="encryption_not_enabled"} 0
coinhook_ingress_requests_total{code="encryption_required"} 0
coinhook_ingress_requests_total{code="greeted"} 0
coinhook_ingress_requests_total{code="incomplete_body"} 0
coinhook_ingress_requests_total{code="internal"} 0
coinhook_ingress_requests_total{code="invalid_api_key"} 0
coinhook_ingress_requests_total{code="invalid_credentials"} 0
coinhook_ingress_requests_total{code="invalid_signature"} 0
coinhook_ingress_requests_total{code="method_not_allowed"} 1
coinhook_ingress_requests_total{code="not_accepted"} 0
coinhook_ingress_requests_total{code="not_found"} 1
coinhook_ingress_requests_total{code="payload_too_large"} 1
coinhook_ingress_requests_total{code="pending"} 2
coinhook_ingress_requests_total{code="rate_limited"} 0
coinhook_ingress_requests_total{code="receipt"} 0
coinhook_ingress_requests_total{code="request_timeout"} 0
coinhook_ingress_requests_total{code="unsupported_content_encoding"} 0
coinhook_ingress_requests_total{code="webhook_not_found"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "coinhook_ingress_requests_total"); err != nil {
		t.Error(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		histogram := f.GetMetric()[0].GetHistogram()
		switch f.GetName() {
		case "coinhook_ingress_request_duration_seconds":
			if n := histogram.GetSampleCount(); n != 5 {
				t.Errorf("%d durations, want 5", n)
			}
		case "coinhook_ingress_body_bytes":
			if n, sum := histogram.GetSampleCount(), histogram.GetSampleSum(); n != 2 || sum != 2 {
				t.Errorf("%d bodies of %v bytes, want 2 of 2", n, sum)
			}
		}
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metric names: %v, %v", problems, err)
	}
}

// finish waits until all requests are logged and returns the log.
func finish(t *testing.T, s *running, log *syncBuffer) string {
	t.Helper()
	s.client.CloseIdleConnections()
	s.stop()
	if err := <-s.served; err != nil {
		t.Fatal(err)
	}
	return log.String()
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	s := start(t, Options{Log: logTo(&log, zerolog.DebugLevel)})
	s.post(`{"hunter2":1}`, "X-Api-Key", "chk_hunter2", "X-Other", "hunter2", "Authorization", "hunter2")
	s.do("POST", "/hooks/chk_hunter2", strings.NewReader("hunter2"))
	text := finish(t, s, &log)
	if strings.Contains(text, "hunter2") {
		t.Errorf("the log holds a payload, a key or a header's value:\n%s", text)
	}
	var lines []map[string]any
	for line := range strings.Lines(text) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if fields["message"] == "request" {
			lines = append(lines, fields)
		}
	}
	if len(lines) != 2 {
		t.Fatalf("%d lines of requests, want 2:\n%s", len(lines), text)
	}
	for field, want := range map[string]any{
		"webhook_id": hook, "delivery_id": deliveryID, "code": "pending", "status": 202.0, "bytes": 13.0, "remote_ip": "127.0.0.1", "level": "debug",
	} {
		if lines[0][field] != want {
			t.Errorf("%s: %v, want %v", field, lines[0][field], want)
		}
	}
	if ms, ok := lines[0]["duration_ms"].(float64); !ok || ms < 0 || ms > 60_000 {
		t.Errorf("duration_ms: %v", lines[0]["duration_ms"])
	}
	if lines[1]["webhook_id"] != "malformed" {
		t.Errorf("webhook_id: %v, want malformed for what is no id", lines[1]["webhook_id"])
	}
}

func TestNoAccessLogAboveDebug(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	s := start(t, Options{Log: logTo(&log, zerolog.InfoLevel)})
	s.post("x")
	text := finish(t, s, &log)
	if strings.Contains(text, `"request"`) {
		t.Errorf("a request is logged at info:\n%s", text)
	}
	if !strings.Contains(text, `"addr":"`+s.addr+`","message":"listening"`) {
		t.Errorf("the address is not logged:\n%s", text)
	}
}

func TestAnOutageDoesNotFloodTheLog(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	s := start(t, Options{
		Log:      logTo(&log, zerolog.InfoLevel),
		Receiver: refuse(&ingress.Error{Code: ingress.NotAccepted, Detail: "Later.", Err: errors.New("broker away")}),
	})
	for range 100 {
		s.post("x")
	}
	text := finish(t, s, &log)
	if n := strings.Count(text, "broker away"); n < 1 || n > 20 {
		t.Errorf("%d lines for 100 refusals, want a few", n)
	}
	if !strings.Contains(text, `"level":"warn"`) || !strings.Contains(text, hook) {
		t.Errorf("the warning does not name the webhook:\n%s", text)
	}
}

func TestASenderThatHasClosedItsSideIsAnswered(t *testing.T) {
	t.Parallel()
	entered, closed := make(chan struct{}), make(chan struct{})
	s := start(t, Options{Receiver: receiverFunc(func(ctx context.Context, _ ingress.Request) (ingress.Receipt, error) {
		close(entered)
		<-closed
		select {
		case <-ctx.Done():
			return ingress.Receipt{}, &ingress.Error{Code: ingress.NotAccepted, Detail: "Later.", Err: ctx.Err()}
		case <-time.After(200 * time.Millisecond): // the server has seen the end by now
			return ingress.Receipt{Status: ingress.Pending}, nil
		}
	})})
	conn := s.raw("POST /hooks/" + hook + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
	<-entered
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	close(closed)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Errorf("answered %s", answer.Status)
	}
}

func TestRemoteIP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, trusted, forwarded, want string }{
		{"nobody is trusted", "", "203.0.113.7", "127.0.0.1"},
		{"the proxy is trusted", "127.0.0.0/8", "203.0.113.7", "203.0.113.7"},
		{"a single address is trusted", "127.0.0.1", "203.0.113.7", "203.0.113.7"},
		{"somebody else is trusted", "10.0.0.0/8, ::1", "203.0.113.7", "127.0.0.1"},
		{"the sender forges a hop", "127.0.0.1", "198.51.100.1, 203.0.113.7", "203.0.113.7"},
		{"a private network is not trusted unasked", "127.0.0.1", "198.51.100.1, 10.0.0.1", "10.0.0.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var trusted proxies.Trusted
			if tt.trusted != "" {
				if err := trusted.UnmarshalText([]byte(tt.trusted)); err != nil {
					t.Fatal(err)
				}
			}
			var log syncBuffer
			s := start(t, Options{Log: logTo(&log, zerolog.DebugLevel), TrustedProxies: trusted})
			s.post("x", "X-Forwarded-For", tt.forwarded)
			if text := finish(t, s, &log); !strings.Contains(text, `"remote_ip":"`+tt.want+`"`) {
				t.Errorf("want remote_ip %s:\n%s", tt.want, text)
			}
		})
	}
}
