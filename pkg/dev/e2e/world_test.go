package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// world is a community of its own on a stack.
type world struct {
	*stack
	community string
}

var worlds atomic.Int64

func (s *stack) newWorld(t *testing.T, users ...string) *world {
	t.Helper()
	w := &world{stack: s, community: fmt.Sprintf("world-%d", worlds.Add(1))}
	if len(users) > 0 {
		w.addUsers(t, users...)
	}
	return w
}

// addUsers adds users by their usernames; each has an email at example.com.
func (w *world) addUsers(t *testing.T, usernames ...string) {
	t.Helper()
	csv := "email,username\n"
	for _, name := range usernames {
		csv += name + "@example.com," + name + "\n"
	}
	var got importJSON
	w.queryWith(t, csv, &got, "users", "import", "-", "--community", w.community, "--create-community")
	if got.Added != len(usernames) {
		t.Fatalf("%d of %d users added: %+v", got.Added, len(usernames), got)
	}
}

func (w *world) user(t *testing.T, name string) userJSON {
	t.Helper()
	var u userJSON
	w.query(t, &u, "users", "show", name, "--community", w.community)
	return u
}

// wantBalances compares the coins and xp of a user.
func (w *world) wantBalances(t *testing.T, name, coins, xp string) {
	t.Helper()
	got := w.user(t, name).Balances
	if got["coins"] != coins || got["xp"] != xp {
		t.Errorf("%s has %v, want coins %s and xp %s", name, got, coins, xp)
	}
}

// hook is a webhook that was applied.
type hook struct {
	*world
	webhookJSON
	yaml string
}

// The bodies of deliveries in these tests name the user and the amount so.
const (
	userLine  = "user: {by: username, path: user}\n"
	addCoins  = "mappings:\n  - {currency: coins, operator: add, value: {path: amount}}\n"
	takeCoins = "mappings:\n  - {currency: coins, operator: subtract, value: {path: amount}}\n"
	addOne    = "mappings:\n  - {currency: coins, operator: add, value: {constant: \"1\"}}\n"
)

// coinsBody asks for an amount, given as JSON.
func coinsBody(user, amount string) string {
	return fmt.Sprintf(`{"user":%q,"amount":%s}`, user, amount)
}

// hook applies a webhook of that state, with an API key. rest is the end of its
// definition.
func (w *world) hook(t *testing.T, name, state, rest string) *hook {
	t.Helper()
	h := &hook{world: w}
	h.apply(t, w.yaml(name, state, rest))
	if h.APIKey == "" {
		t.Fatalf("no API key was made for %s", name)
	}
	h.awaitKnown(t)
	return h
}

func (w *world) yaml(name, state, rest string) string {
	return fmt.Sprintf("name: %s\ncommunity: %s\nstate: %s\nauth: {api_key: true}\n%s", name, w.community, state, rest)
}

// apply creates or updates the webhook; the keys it has stay.
func (h *hook) apply(t *testing.T, yaml string) {
	t.Helper()
	key, aesKey := h.APIKey, h.AESKey
	h.webhookJSON, h.yaml = webhookJSON{}, yaml
	h.queryWith(t, yaml, &h.webhookJSON, "webhooks", "apply", "-f", "-")
	if h.APIKey == "" {
		h.APIKey = key
	}
	if h.AESKey == "" {
		h.AESKey = aesKey
	}
}

// awaitKnown waits until the ingress has heard of the webhook.
func (h *hook) awaitKnown(t *testing.T) {
	t.Helper()
	eventually(t, func(context.Context) error {
		// It is refused before anything is stored, whatever the state.
		if got := h.post(t, "?", "X-Api-Key", "none"); got.status == http.StatusNotFound && h.State != "disabled" {
			return fmt.Errorf("the ingress does not know %s: %s", h.Name, got.body)
		}
		return nil
	})
}

// answer is what a sender gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// post sends a body with the webhook's key, unless the header pairs say
// something else. An empty value takes a header away.
func (h *hook) post(t *testing.T, body string, pairs ...string) answer {
	t.Helper()
	header := http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {h.APIKey}}
	for i := 0; i < len(pairs); i += 2 {
		header.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			header.Del(pairs[i])
		}
	}
	return h.send(t, http.MethodPost, "/hooks/"+h.ID, header, strings.NewReader(body))
}

// send makes one request of the ingress.
func (s *stack) send(t *testing.T, method, path string, header http.Header, body io.Reader) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(withDeadline(t), method, s.IngressURL()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
}

// receipt is the body of a 202.
type receipt struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

func (a answer) receipt(t *testing.T) receipt {
	t.Helper()
	var r receipt
	decoder := json.NewDecoder(bytes.NewReader([]byte(a.body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil || a.status != http.StatusAccepted {
		t.Fatalf("answer = %d %s, want 202 with id and status", a.status, a.body)
	}
	return r
}

// deliver sends a body that must be accepted, and returns the delivery's id.
func (h *hook) deliver(t *testing.T, body string, pairs ...string) (id string) {
	t.Helper()
	got := h.post(t, body, pairs...).receipt(t)
	if got.Status != "pending" {
		t.Fatalf("status = %q, want pending", got.Status)
	}
	return got.ID
}
