package api_test

import (
	"net/http"
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
