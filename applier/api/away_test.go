package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

// TestABrokerThatIsAwayIsNoErrorOfOurs: programs try again later, and nobody looks for a bug.
func TestABrokerThatIsAwayIsNoErrorOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.pending(mine)
	w.Server.Stop()
	for _, path := range []string{"/apis/v1/deliveries", "/apis/v1/deliveries?limit=1", "/apis/v1/deliveries/" + id.String(), "/apis/v1/logs?webhook=Shop"} {
		got := w.get(path)
		if got.status != http.StatusServiceUnavailable || got.Code != "unavailable" || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s %s, Retry-After %q", path, got.status, got.Code, got.body, got.header.Get("Retry-After"))
		}
	}
}

// TestAListThatTakesTooLongSaysWhatToDo: to ask for the same again does not help.
func TestAListThatTakesTooLongSaysWhatToDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx, err := w.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it only held the lock
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLE outcomes"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { // as the statement's time being over
		for ctx.Err() == nil {
			_, _ = w.DB.ExecContext(ctx, "SELECT pg_cancel_backend(pid), pg_sleep(0.05) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")
		}
	}()
	if got := w.get("/apis/v1/deliveries?status=success"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.Message, "Ask for less") {
		t.Errorf("%d %s", got.status, got.body)
	}
}
