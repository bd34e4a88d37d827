package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/api"
)

// from makes a request from an address, with a token.
func (w *world) from(address, token string) reply {
	w.t.Helper()
	r := w.request(http.MethodGet, "/apis/v1/users?limit=1", "")
	r.RemoteAddr = address
	r.Header.Set("Authorization", "Bearer "+token)
	return w.send(r)
}

// unknown is a token that nobody made.
func unknown(n int) string { return fmt.Sprintf("cht_%043d", n) }

// A network that tries tokens is held up after a few. Tokens that worked before and
// other networks are not.
func TestUnknownTokensAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const attacker, sameNetwork, other = "[2001:db8::1]:1", "[2001:db8::ffff]:2", "198.51.100.7:3"
	if got := w.from(attacker, w.bearer[mine]); got.status != http.StatusOK {
		t.Fatalf("a token that works: %d %s", got.status, got.body)
	}
	for n := range 30 {
		if got := w.from(attacker, unknown(n)); got.status != http.StatusUnauthorized {
			t.Fatalf("unknown token %d: %d %s", n, got.status, got.body)
		}
	}
	for _, token := range []string{unknown(30), w.bearer[theirs]} { // the second one works, but is not known here yet
		if got := w.from(sameNetwork, token); got.status != http.StatusTooManyRequests || got.Code != "rate_limited" || got.header.Get("Retry-After") != "1" {
			t.Errorf("one more from the network: %d %s", got.status, got.body)
		}
	}
	if got := w.from(sameNetwork, w.bearer[mine]); got.status != http.StatusOK {
		t.Errorf("a token that worked before: %d %s", got.status, got.body)
	}
	if got := w.from(other, unknown(31)); got.status != http.StatusUnauthorized {
		t.Errorf("another network: %d %s", got.status, got.body)
	}
	// A token that was revoked is a stranger's.
	if err := w.tokens.Revoke(t.Context(), mine, "test", "anna"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{http.StatusUnauthorized, http.StatusTooManyRequests} {
		if got := w.from(attacker, w.bearer[mine]); got.status != want {
			t.Errorf("a revoked token: %d %s, want %d", got.status, got.body, want)
		}
	}
	w.clock.Add(int64(2 * time.Second))
	if got := w.from(attacker, w.bearer[theirs]); got.status != http.StatusOK {
		t.Errorf("a moment later: %d %s", got.status, got.body)
	}
}

// However many networks there are, what is remembered of them is bounded.
func TestStrangersAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	s := api.NewStrangers(func() time.Time { return now })
	for n := range 10_100 {
		s.Failed(fmt.Sprint(n))
	}
	if n := s.Networks(); n != 10_000 {
		t.Errorf("%d networks are remembered, want 10,000", n)
	}
	if s.MayTry("another one") {
		t.Error("those that find no place are not limited together")
	}
	now = now.Add(time.Minute)
	s.Failed("another one")
	if n := s.Networks(); n != 1 {
		t.Errorf("%d networks are remembered after a minute, want 1", n)
	}
}

// Searches read all users: two at a time do, and other requests go on.
func TestSearchesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leave := api.TakeSearches(w.handler)
	if got := w.get("/apis/v1/users?search=ali"); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "1" {
		t.Errorf("a third search: %d %s", got.status, got.body)
	}
	if got := w.get("/apis/v1/users"); got.status != http.StatusOK {
		t.Errorf("a list meanwhile: %d %s", got.status, got.body)
	}
	leave()
	for range 3 { // each gives its place back
		if got := w.get("/apis/v1/users?search=ali"); got.status != http.StatusOK {
			t.Errorf("a search afterwards: %d %s", got.status, got.body)
		}
	}
}
