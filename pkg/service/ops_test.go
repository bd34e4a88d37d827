package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"
)

// startOps serves until the test ends.
func startOps(t *testing.T, checks ...Check) *Ops {
	t.Helper()
	return startOpsLogging(t, zerolog.Nop(), checks...)
}

func startOpsLogging(t *testing.T, log zerolog.Logger, checks ...Check) *Ops {
	t.Helper()
	ops, err := ListenOps(OpsOptions{Addr: "127.0.0.1:0", Gatherer: NewRegistry(), Checks: checks, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- ops.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return ops
}

func ask(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}

func TestOps(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	ops := startOps(t,
		Check{Name: "always", Run: func(context.Context) error { return nil }},
		Check{Name: "broker", Run: func(context.Context) error {
			if away.Load() {
				return errors.New("not connected")
			}
			return nil
		}},
	)
	url := "http://" + ops.Addr()
	expect := func(method, path string, wantStatus int, wantBody string) {
		t.Helper()
		if status, body := ask(t, method, url+path); status != wantStatus || body != wantBody {
			t.Errorf("%s %s: %d %s, want %d %s", method, path, status, body, wantStatus, wantBody)
		}
	}
	expect("GET", "/healthz", 200, `{"status":"alive"}`)
	expect("GET", "/readyz", 200, `{"status":"ready"}`)
	expect("HEAD", "/readyz", 200, "")
	away.Store(true)
	expect("GET", "/readyz", 503, `{"status":"not ready","failing":[{"check":"broker","error":"not connected"}]}`)
	ops.Drain()
	expect("GET", "/readyz", 503, `{"status":"draining"}`)
	expect("GET", "/healthz", 200, `{"status":"alive"}`)
	expect("POST", "/healthz", 405, "Method Not Allowed")
	expect("GET", "/debug/pprof/", 404, "404 page not found")
	if status, body := ask(t, "GET", url+"/metrics"); status != 200 || !strings.Contains(body, "\ngo_goroutines ") || !strings.Contains(body, "\nprocess_open_fds ") {
		t.Errorf("/metrics: %d without the metrics of the process", status)
	}
}

// TestReadyzNamesNoAddress: anybody who reaches the port may ask, and addresses of the
// inner network are not for them. The log has them.
func TestReadyzNamesNoAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"dial tcp 10.1.2.3:5432: connect: connection refused":                             "dial tcp […]: connect: connection refused",
		"dial tcp [fd00::1:2]:5432: i/o timeout":                                          "dial tcp […]: i/o timeout",
		"read tcp 127.0.0.1:1->127.0.0.1:5432: reset":                                     "read tcp […]->[…]: reset",
		"dial tcp: lookup db.internal on 10.0.0.2:53: no such host":                       "dial tcp: lookup […] on […]: no such host",
		"not connected to NATS at nats://ingress:pw@nats-1:4222,nats://nats-2:4222: away": "not connected to NATS at […]: away",
		"nats.internal:4222 does not answer":                                              "[…] does not answer",
		`pq: password authentication failed for user "coinhook"`:                          `pq: password authentication failed for user […]`,
		`pq: database "coinhook" does not exist`:                                          `pq: database […] does not exist`,
		"no leader for the stream now":                                                    "no leader for the stream now",
		"nothing has been settled for 45s in 3 of 8 partitions: 12:30":                    "nothing has been settled for 45s in 3 of 8 partitions: 12:30",
	} {
		if got := withoutAddresses(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	var lines syncBuffer
	ops := startOpsLogging(t, zerolog.New(&lines), Check{Name: "postgres", Run: func(context.Context) error {
		return errors.New("dial tcp 10.1.2.3:5432: connect: connection refused")
	}})
	for range 3 {
		if status, body := ask(t, "GET", "http://"+ops.Addr()+"/readyz"); status != 503 || strings.Contains(body, "10.1") || !strings.Contains(body, "connection refused") {
			t.Errorf("/readyz: %d %s", status, body)
		}
	}
	if n := strings.Count(lines.String(), "10.1.2.3:5432"); n != 1 {
		t.Errorf("the log says it %d times, want once:\n%s", n, lines.String())
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestOpsRefusesAnAddressInUse(t *testing.T) {
	t.Parallel()
	ops := startOps(t)
	_, err := ListenOps(OpsOptions{Addr: Addr(ops.Addr()), Gatherer: NewRegistry()})
	if err == nil || !strings.Contains(err.Error(), "OPS_ADDR") {
		t.Errorf("error %v, want one that names OPS_ADDR", err)
	}
}

func TestOpsGivesTheAddressBack(t *testing.T) {
	t.Parallel()
	ops, err := ListenOps(OpsOptions{Addr: "127.0.0.1:0", Gatherer: NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ops.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}
