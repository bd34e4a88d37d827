package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

var uuidV7 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestAnActiveWebhookAnswersPending(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	got := h.post(t, coinsBody("ann", "5"))
	if r := got.receipt(t); !uuidV7.MatchString(r.ID) || r.Status != "pending" {
		t.Errorf("answer = %s, want a UUIDv7 and pending", got.body)
	}
	if kind := got.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("Content-Type = %q", kind)
	}
	if d := w.settled(t, got.receipt(t).ID); d.Status != "success" || d.Outcome != "applied" {
		t.Errorf("delivery = %+v", d)
	}
	w.wantBalances(t, "ann", "5", "0")
}

func TestADraftCapturesAndExecutesNothing(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	draft := w.hook(t, "draft", "draft", userLine+addCoins)
	active := w.hook(t, "active", "active", userLine+addCoins)
	r := draft.post(t, coinsBody("ann", "5")).receipt(t)
	if r.Status != "captured" || !uuidV7.MatchString(r.ID) {
		t.Errorf("receipt = %+v, want a UUIDv7 and captured", r)
	}
	w.wantOnly(t, active.deliver(t, coinsBody("ann", "1")))
	w.wantBalances(t, "ann", "1", "0")
}

// wantOnly waits for the outcome of one delivery, and sees that the community
// has no other, neither settled nor pending.
func (w *world) wantOnly(t *testing.T, id string) {
	t.Helper()
	w.awaitRows(t, id)
	all := w.list(t, "--community", w.community, "--limit", "1000")
	if len(all) != 1 || all[0].ID != id {
		t.Errorf("the community has the deliveries %+v, want only %s", all, id)
	}
}

type problem struct {
	Type, Title, Code, Detail string
	Status                    int
}

// wantProblem checks an error answer by RFC 9457 and the contract.
func wantProblem(t *testing.T, got answer, status int, code string) problem {
	t.Helper()
	if kind := got.header.Get("Content-Type"); got.status != status || kind != "application/problem+json" {
		t.Fatalf("answer = %d %s %s, want %d application/problem+json", got.status, kind, got.body, status)
	}
	var keys map[string]any
	var p problem
	if err := errors.Join(json.Unmarshal([]byte(got.body), &keys), json.Unmarshal([]byte(got.body), &p)); err != nil {
		t.Fatal(err)
	}
	if names := slices.Sorted(maps.Keys(keys)); !slices.Equal(names, []string{"code", "detail", "status", "title", "type"}) {
		t.Errorf("the problem has the members %v", names)
	}
	if p.Status != status || p.Code != code || p.Type == "" || p.Title == "" || p.Detail == "" {
		t.Errorf("problem = %+v, want status %d, code %s, and a type, title and detail", p, status, code)
	}
	for _, internal := range []string{"nats", "jetstream", "goroutine", "panic", ".go:"} {
		if strings.Contains(strings.ToLower(p.Detail), internal) {
			t.Errorf("the detail tells of internals: %s", p.Detail)
		}
	}
	return p
}

// unsized hides the length of a body, so that it is sent in chunks.
type unsized struct{ io.Reader }

func TestRefusalsAreProblemsAndStoreNothing(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "active", "active", userLine+addCoins)
	disabled := w.hook(t, "disabled", "active", userLine+addCoins)
	deleted := w.hook(t, "deleted", "active", userLine+addCoins)
	w.query(t, new(webhookJSON), "webhooks", "disable", "disabled", "--community", w.community)
	w.query(t, new(map[string]string), "webhooks", "delete", deleted.ID)
	for _, gone := range []*hook{disabled, deleted} {
		eventually(t, func(context.Context) error {
			if got := gone.post(t, "?", "X-Api-Key", "none"); got.status != http.StatusNotFound {
				return fmt.Errorf("%s: %d %s", gone.Name, got.status, got.body)
			}
			return nil
		})
	}

	good := coinsBody("ann", "7")
	big := strings.Repeat(" ", 2<<20)
	path, header := "/hooks/"+h.ID, http.Header{"X-Api-Key": {h.APIKey}}
	with := func(name, value string) http.Header {
		changed := header.Clone()
		changed.Set(name, value)
		return changed
	}
	send := func(method, path string, header http.Header, body io.Reader) func(*testing.T) answer {
		return func(t *testing.T) answer { return w.send(t, method, path, header, body) }
	}
	post := func(h *hook, body string, pairs ...string) func(*testing.T) answer {
		return func(t *testing.T) answer { return h.post(t, body, pairs...) }
	}
	for _, test := range []struct {
		name   string
		send   func(*testing.T) answer
		status int
		code   string
	}{
		{"an_empty_body", post(h, ""), 400, "empty_body"},
		{"an_empty_body_with_a_wrong_api_key", post(h, "", "X-Api-Key", "x"), 401, "invalid_api_key"},
		{"an_empty_body_to_an_unknown_webhook", send("POST", "/hooks/wh_"+strings.Repeat("a", 26), header, nil), 404, "webhook_not_found"},
		{"an_empty_body_to_a_disabled_webhook", post(disabled, ""), 404, "webhook_not_found"},
		{"an_encrypted_body_without_a_key", post(h, good, "X-Encrypted", "true"), 400, "encryption_not_enabled"},
		{"no_api_key", post(h, good, "X-Api-Key", ""), 401, "invalid_api_key"},
		{"a_wrong_api_key", post(h, good, "X-Api-Key", "chk_"+strings.Repeat("A", 43)), 401, "invalid_api_key"},
		{"a_wrong_api_key_and_encrypted", post(h, good, "X-Api-Key", "x", "X-Encrypted", "true"), 401, "invalid_api_key"},
		{"an_unknown_webhook", send("POST", "/hooks/wh_"+strings.Repeat("a", 26), header, strings.NewReader(good)), 404, "webhook_not_found"},
		{"no_webhook_id_at_all", send("POST", "/hooks/shop", header, strings.NewReader(good)), 404, "webhook_not_found"},
		{"a_disabled_webhook", post(disabled, good), 404, "webhook_not_found"},
		{"a_deleted_webhook", post(deleted, good), 404, "webhook_not_found"},
		{"get", send("GET", path, header, nil), 405, "method_not_allowed"},
		{"put", send("PUT", path, header, strings.NewReader(good)), 405, "method_not_allowed"},
		{"delete", send("DELETE", path, header, nil), 405, "method_not_allowed"},
		{"2_MiB", send("POST", path, header, strings.NewReader(big)), 413, "payload_too_large"},
		{"2_MiB_in_chunks", send("POST", path, header, unsized{strings.NewReader(big)}), 413, "payload_too_large"},
		{"2_MiB_for_an_unknown_webhook", send("POST", "/hooks/wh_"+strings.Repeat("a", 26), header, strings.NewReader(big)), 413, "payload_too_large"},
		{"2_MiB_for_no_webhook_id_at_all", send("POST", "/hooks/shop", header, strings.NewReader(big)), 404, "webhook_not_found"},
		{"2_MiB_in_chunks_for_an_unknown_webhook", send("POST", "/hooks/wh_"+strings.Repeat("a", 26), header, unsized{strings.NewReader(big)}), 404, "webhook_not_found"},
		{"gzip", send("POST", path, with("Content-Encoding", "gzip"), strings.NewReader(good)), 415, "unsupported_content_encoding"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.send(t)
			wantProblem(t, got, test.status, test.code)
			if test.status == http.StatusMethodNotAllowed && got.header.Get("Allow") != "POST" {
				t.Errorf("Allow = %q, want POST", got.header.Get("Allow"))
			}
		})
	}
	t.Run("missing_and_wrong_keys_cannot_be_told_apart", func(t *testing.T) {
		missing, wrong := h.post(t, good, "X-Api-Key", ""), h.post(t, good, "X-Api-Key", "chk_wrong")
		if missing.body != wrong.body || missing.status != wrong.status {
			t.Errorf("missing: %s\nwrong: %s", missing.body, wrong.body)
		}
	})
	t.Run("unknown_disabled_and_deleted_cannot_be_told_apart", func(t *testing.T) {
		unknown := w.send(t, "POST", "/hooks/wh_"+strings.Repeat("b", 26), header, strings.NewReader(good))
		for _, other := range []answer{disabled.post(t, good), deleted.post(t, good)} {
			if other.body != unknown.body {
				t.Errorf("unknown: %s\nother: %s", unknown.body, other.body)
			}
		}
	})
	w.wantOnly(t, h.deliver(t, coinsBody("ann", "1")))
	w.wantBalances(t, "ann", "1", "0")
}

func TestABodyAtTheLimitIsAccepted(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	body := coinsBody("ann", "3")
	body += strings.Repeat(" ", 512<<10-len(body))
	id := h.deliver(t, body)
	if d := w.settled(t, id); d.Outcome != "applied" || d.Payload == nil || *d.Payload != body {
		t.Errorf("%s %s, want it applied with its payload as it was", d.Status, d.Reason)
	}
	wantProblem(t, h.post(t, body+" "), 413, "payload_too_large")
	w.wantBalances(t, "ann", "3", "0")
}

func TestTheIngressRefusesWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	w.stopParts(t, devstack.NATS)
	got := h.post(t, coinsBody("ann", "5"))
	wantProblem(t, got, http.StatusServiceUnavailable, "not_accepted")
	if seconds, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("Retry-After = %q, want seconds", got.header.Get("Retry-After"))
	}
	wantProblem(t, h.post(t, "?", "X-Api-Key", "wrong"), http.StatusUnauthorized, "invalid_api_key")

	w.startParts(t, devstack.NATS)
	// A refusal on the way back may leave a delivery behind: it changes nothing.
	eventually(t, func(context.Context) error {
		if got := h.post(t, coinsBody("ann", "0")); got.status != http.StatusAccepted {
			return fmt.Errorf("%d %s", got.status, got.body)
		}
		return nil
	})
	if d := w.settled(t, h.deliver(t, coinsBody("ann", "7"))); d.Outcome != "applied" {
		t.Errorf("delivery = %+v", d)
	}
	w.wantNonePending(t)
	w.wantBalances(t, "ann", "7", "0")
}

func TestTheIngressStartsAndServesWithoutPostgreSQL(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	w.stopParts(t, devstack.Postgres, devstack.Ingress)
	w.startParts(t, devstack.Ingress)
	id := h.deliver(t, coinsBody("ann", "5"))
	wantProblem(t, h.post(t, "?", "X-Api-Key", "wrong"), http.StatusUnauthorized, "invalid_api_key")
	w.startParts(t, devstack.Postgres)
	if d := w.settled(t, id); d.Outcome != "applied" {
		t.Errorf("delivery = %+v", d)
	}
	w.wantBalances(t, "ann", "5", "0")
}
