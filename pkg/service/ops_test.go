package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"
)

// startOps serves until the test ends.
func startOps(t *testing.T, checks ...Check) *Ops {
	t.Helper()
	ops, err := ListenOps(OpsOptions{Addr: "127.0.0.1:0", Gatherer: NewRegistry(), Checks: checks, Log: zerolog.Nop()})
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
