package server

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/ingress/verify"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/proxies"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	keyless = "wh_bbbbbbbbbbbbbbbbbbbbbbbbbb"
	unknown = "wh_cccccccccccccccccccccccccc"
	signed  = "wh_dddddddddddddddddddddddddd"
)

// catalog is what this ingress knows of webhooks.
type catalog map[string]*webhook.Webhook

func (c catalog) Lookup(id string) (*webhook.Webhook, bool) { return c[id], true }

// signingSecret is that of the webhook with a signature.
const signingSecret = "It's a Secret to Everybody"

var master = func() secret.MasterKey {
	key, err := secret.ParseMasterKey("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		panic(err)
	}
	return key
}()

// signedWebhook takes what GitHub signs.
func signedWebhook(tb testing.TB) *webhook.Webhook {
	tb.Helper()
	kept, err := master.SealText(secret.SigningSecret, signed, signingSecret, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	rec := webhook.Record{ID: signed, SigningSecrets: []secret.SealedText{kept}}
	rec.Auth.Signature = &webhook.Signature{Preset: "github"}
	w, err := webhook.Compile(rec, 1)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

// signatureOf is that of a body.
func signatureOf(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// allWebhooks are one with the key that is returned, one without, and one with a
// signature.
func allWebhooks(tb testing.TB) (catalog, string) {
	tb.Helper()
	text, key := secret.NewAPIKey(time.Now())
	known := catalog{hook: {Revision: 1}, keyless: {Revision: 1}, signed: signedWebhook(tb)}
	for id, w := range known {
		w.ID, w.State, w.Community = id, webhook.Active, "default"
	}
	known[hook].Auth.APIKey, known[hook].APIKeys = true, []secret.APIKey{key}
	return known, text
}

// startReal is a server with the Receiver of the service, whose broker stores all.
func startReal(t *testing.T, opts Options) (s *running, key string) {
	t.Helper()
	known, key := allWebhooks(t)
	opts.Receiver = &ingress.Receiver{
		Definitions: known, Publisher: nowhere{}, Secrets: verify.NewVault(master, nil), NewID: delivery.NewID, Now: time.Now,
	}
	return start(t, opts), key
}

const dribble = "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"

// head is the start of a request, up to the headers about its body.
func head(id, key string) string {
	text := "POST /hooks/" + id + " HTTP/1.1\r\nHost: h\r\n"
	if key != "" {
		text += "X-Api-Key: " + key + "\r\n"
	}
	return text
}

// strange are the ways to take a place and to hold it.
var strange = map[string]struct {
	request func(key string) string
	known   bool // its sender may have a place
	status  int  // 0 if the connection is closed without an answer
}{
	"an unknown webhook, in chunks":     {func(string) string { return head(unknown, "") + dribble }, false, 404},
	"no key, in chunks":                 {func(string) string { return head(hook, "") + dribble }, false, 401},
	"no key, with a length":             {func(string) string { return head(hook, "") + "Content-Length: 524288\r\n\r\nx" }, false, 401},
	"a key, in chunks":                  {func(key string) string { return head(hook, key) + dribble }, true, 408},
	"a key, with a length":              {func(key string) string { return head(hook, key) + "Content-Length: 524288\r\n\r\nx" }, true, 408},
	"a webhook without key, in chunks":  {func(string) string { return head(keyless, "") + dribble }, true, 408},
	"a signature, in chunks":            {func(string) string { return head(signed, "") + dribble }, true, 408},
	"a signature, with a length":        {func(string) string { return head(signed, "") + "Content-Length: 524288\r\n\r\nx" }, true, 408},
	"headers that do not end":           {func(string) string { return head(hook, "") + "X-Slow: " }, false, 0},
	"a body that is declared too large": {func(string) string { return head(hook, "") + "Content-Length: 99999999\r\n\r\nx" }, false, 413},
}

// TestStrangersDoNotBlockTheDoor: 600 connections send one byte of a body and wait.
// Good requests go on meanwhile, and only senders that may have places hold any.
func TestStrangersDoNotBlockTheDoor(t *testing.T) {
	t.Parallel()
	const strangers, good = 600, 200
	for name, tt := range strange {
		t.Run(name, func(t *testing.T) {
			// Strangers stay as long as the test does.
			s, key := startReal(t, Options{Timeouts: Timeouts{ReadHeader: time.Minute, Read: time.Minute, Stall: time.Minute, Linger: time.Minute}})
			for range strangers {
				s.raw(tt.request(key))
			}
			for i := range good {
				if got := s.post("good", "X-Api-Key", key); got.status != http.StatusAccepted {
					t.Fatalf("good request %d: status %d: %s", i, got.status, got.body)
				}
			}
			taken := &s.places.taken
			if !tt.known {
				s.eventually("strangers hold places", func() bool { return taken.v.Load() == 0 })
				return
			}
			s.eventually("not all strangers were heard", func() bool { return taken.requests() == strangers })
			if n := taken.bytes(); n > strangers*firstRoom {
				t.Errorf("%d bytes are charged for %d", n, strangers)
			}
		})
	}
}

func (r *running) eventually(otherwise string, holds func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatal(otherwise)
		}
	}
}

// TestStrangersAreAnsweredAndSentAway: they get their answer, and lose the connection.
func TestStrangersAreAnsweredAndSentAway(t *testing.T) {
	t.Parallel()
	for name, tt := range strange {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := Timeouts{ReadHeader: time.Minute, Stall: 50 * time.Millisecond, Linger: 50 * time.Millisecond}
			if tt.status == 0 {
				limits.ReadHeader = 50 * time.Millisecond
			}
			s, key := startReal(t, Options{Timeouts: limits})
			conn := s.raw(tt.request(key))
			if tt.status == 0 {
				if text, err := io.ReadAll(conn); err != nil || len(text) > 0 {
					t.Errorf("%q, %v", text, err)
				}
				return
			}
			if got := s.answerOn(conn); got.status != tt.status || !got.close {
				t.Errorf("status %d, Connection: close %t; want %d and close", got.status, got.close, tt.status)
			}
			s.eventually("places or connections are kept", func() bool { return s.places.taken.v.Load() == 0 && s.door.count() == 0 })
		})
	}
}

// TestAStrangersShortBodyCostsNoConnection: proxies share connections among senders.
func TestAStrangersShortBodyCostsNoConnection(t *testing.T) {
	t.Parallel()
	s, _ := startReal(t, Options{})
	for _, body := range []io.Reader{strings.NewReader("x"), unsized("x")} {
		if got := s.do("POST", "/hooks/"+unknown, body); got.status != 404 || got.close {
			t.Errorf("status %d, Connection: close %t; want 404 on a connection that stays", got.status, got.close)
		}
	}
}

// TestWrongKeysSlowDown: who fails often is told to wait. The right key passes all
// the while, and so does what fails elsewhere.
func TestWrongKeysSlowDown(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	registry := prometheus.NewRegistry()
	var trusted proxies.Trusted
	if err := trusted.UnmarshalText([]byte("127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	s, key := startReal(t, Options{Log: logTo(&log, zerolog.InfoLevel), Metrics: registry, TrustedProxies: trusted})
	from := func(address, key string) answer {
		t.Helper()
		return s.post("x", "X-Api-Key", key, "X-Forwarded-For", address)
	}
	const many = 200
	counts := map[int]int{}
	for range many {
		got := from("203.0.113.7", "chk_wrong")
		counts[got.status]++
		if got.status == 429 {
			wantProblem(t, got, 429, "rate_limited")
			if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 1 || after > 10 {
				t.Errorf("Retry-After: %q", got.header.Get("Retry-After"))
			}
			if got := from("203.0.113.7", key); got.status != 202 {
				t.Fatalf("the right key from the same address: status %d", got.status)
			}
			if got := from("203.0.113.8", key); got.status != 202 {
				t.Fatalf("the right key from another address: status %d", got.status)
			}
		}
	}
	// A slow test has some of the burst back.
	if counts[401] < int(webhookPace.burst) || counts[429] < many/2 || counts[401]+counts[429] != many {
		t.Errorf("statuses %v, want %d times 401 and then 429", counts, webhookPace.burst)
	}
	if got := from("203.0.113.8", "chk_wrong"); got.status != 401 {
		t.Errorf("the first wrong key from another address: status %d", got.status)
	}
	if n := testutil.ToFloat64(s.metrics.requests["rate_limited"]); n < many/2 {
		t.Errorf("%v counted as rate_limited", n)
	}
	text := finish(t, s, &log)
	lines := strings.Count(text, "failed authentication")
	if lines < 1 || lines > 5 || !strings.Contains(text, `"remote_ip":"203.0.113.7"`) || strings.Contains(text, "chk_") {
		t.Errorf("%d lines about %d failures, want a few, with the address and without keys:\n%s", lines, many, text)
	}
}

// TestWrongSignaturesSlowDown: a flood of them takes its address aside, and keeps no
// right one out, at the same webhook neither.
func TestWrongSignaturesSlowDown(t *testing.T) {
	t.Parallel()
	s, key := startReal(t, Options{})
	const many, body = 200, `{"coins":5}`
	send := func(id, signature, key string) answer {
		t.Helper()
		return s.do("POST", "/hooks/"+id, strings.NewReader(body), "X-Hub-Signature-256", signature, "X-Api-Key", key)
	}
	counts := map[int]int{}
	for i := range many {
		got := send(signed, signatureOf(body, "guess "+strconv.Itoa(i)), "")
		counts[got.status]++
		if got.status == 401 {
			wantProblem(t, got, 401, "invalid_signature")
		}
		if i%10 > 0 {
			continue
		}
		if got := send(signed, signatureOf(body, signingSecret), ""); got.status != 202 {
			t.Fatalf("a right signature from the same address: status %d", got.status)
		}
		if got := send(hook, "", key); got.status != 202 {
			t.Fatalf("a right key from the same address: status %d", got.status)
		}
	}
	if counts[401] < int(webhookPace.burst) || counts[429] < many/2 || counts[401]+counts[429] != many {
		t.Errorf("statuses %v, want %d times 401 and then 429", counts, webhookPace.burst)
	}
	if n := s.places.taken.v.Load(); n != 0 {
		t.Errorf("%d is kept for them", n)
	}
}

// TestASignatureMakesAConnectionWelcome: its sender has shown who it is, also while the
// broker takes its time.
func TestASignatureMakesAConnectionWelcome(t *testing.T) {
	t.Parallel()
	known, _ := allWebhooks(t)
	slow := make(chan struct{})
	s := start(t, Options{MaxConnections: 3, Receiver: &ingress.Receiver{
		Definitions: known, Publisher: waiting{slow}, Secrets: verify.NewVault(master, nil), NewID: delivery.NewID, Now: time.Now,
	}})
	request := func(signature string) string {
		return head(signed, "") + "X-Hub-Signature-256: " + signature + "\r\nContent-Length: 1\r\n\r\nx"
	}
	right := s.raw(request(signatureOf("x", signingSecret)))
	s.eventually("the request waits for the broker", func() bool { return s.places.taken.requests() == 1 })
	for range 5 {
		s.answerOn(s.raw(request(signatureOf("x", "guess"))))
		s.raw("")
	}
	close(slow)
	if got := s.answerOn(right); got.status != 202 {
		t.Errorf("status %d", got.status)
	}
}

// waiting is a broker that stores nothing before the channel is closed.
type waiting struct{ until chan struct{} }

func (w waiting) Publish(context.Context, delivery.Delivery) error { <-w.until; return nil }
func (w waiting) Capture(context.Context, delivery.Delivery) error { <-w.until; return nil }

// TestABodyThatDoesNotAuthenticateSlowsDown: some checks need the body.
func TestABodyThatDoesNotAuthenticateSlowsDown(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Receiver: refuse(&ingress.Error{Code: ingress.InvalidAPIKey, Detail: "No."})})
	counts := map[int]int{}
	for range 3 * webhookPace.burst {
		counts[s.post("x").status]++
	}
	if counts[401] < int(webhookPace.burst) || counts[429] == 0 {
		t.Errorf("statuses %v, want 401 and then 429", counts)
	}
}

// TestAKeylessWebhookMakesNoConnectionWelcome: only a request that is accepted does.
func TestAKeylessWebhookMakesNoConnectionWelcome(t *testing.T) {
	t.Parallel()
	s, key := startReal(t, Options{MaxConnections: 3})
	s.raw(head(keyless, "") + dribble)
	s.raw(head(hook, key) + dribble)
	s.eventually("the requests have no places", func() bool { return s.places.taken.requests() == 2 })
	for range 5 {
		s.raw("")
	}
	s.eventually("strangers are not displaced", func() bool { return testutil.ToFloat64(s.metrics.closed[displaced]) == 4 })
	s.eventually("the request of the keyless webhook has its place", func() bool { return s.places.taken.requests() == 1 })
}
