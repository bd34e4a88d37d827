package e2e

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// signer signs a body as a sender does, by the standard library alone: the id of the
// event, the time, and the headers that it gives.
type signer func(secret, id, body string, at time.Time) []string

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func signGitHub(secret, id, body string, _ time.Time) []string {
	return []string{"X-Hub-Signature-256", "sha256=" + hex.EncodeToString(hmacSHA256([]byte(secret), body)), "X-GitHub-Delivery", id}
}

func signStripe(secret, _, body string, at time.Time) []string {
	t := strconv.FormatInt(at.Unix(), 10)
	return []string{"Stripe-Signature", "t=" + t + ",v1=" + hex.EncodeToString(hmacSHA256([]byte(secret), t+"."+body))}
}

func signStandard(secret, id, body string, at time.Time) []string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	t := strconv.FormatInt(at.Unix(), 10)
	return []string{
		"webhook-id", id, "webhook-timestamp", t,
		"webhook-signature", "v1," + base64.StdEncoding.EncodeToString(hmacSHA256(key, id+"."+t+"."+body)),
	}
}

// signed applies a webhook with that auth, and sets its secret.
func (w *world) signed(t *testing.T, name, auth, secret string) *hook {
	t.Helper()
	h := &hook{world: w}
	h.apply(t, fmt.Sprintf("name: %s\ncommunity: %s\nstate: active\nauth: %s\n%s", name, w.community, auth, userLine+addCoins))
	if h.APIKey != "" {
		t.Fatalf("an API key was made for %s", name)
	}
	h.wantRefused(t, "without a secret", http.StatusServiceUnavailable, "not_accepted", coinsBody("ann", "1"))
	h.setSecret(t, secret, "0")
	return h
}

func (h *hook) setSecret(t *testing.T, secret, overlap string) {
	t.Helper()
	var got struct{ ID, Secret string }
	h.query(t, &got, "webhooks", "set-secret", h.ID, "--secret", secret, "--overlap", overlap)
	if got.ID != h.ID || got.Secret != "" {
		t.Errorf("set-secret: %+v", got)
	}
}

// wantRefused sends until the ingress has heard of the newest change, and has forgotten
// enough failures of this address.
func (h *hook) wantRefused(t *testing.T, what string, status int, code, body string, pairs ...string) {
	t.Helper()
	eventually(t, func(context.Context) error {
		got := h.post(t, body, pairs...)
		if got.status != status || !strings.Contains(got.body, `"code":"`+code+`"`) {
			return fmt.Errorf("%s: %d %s, want %d %s", what, got.status, got.body, status, code)
		}
		return nil
	})
}

// wantAccepted sends one request that counts, once the ingress has heard of the newest
// change.
func (h *hook) wantAccepted(t *testing.T, what, body string, pairs ...string) (id string) {
	t.Helper()
	eventually(t, func(context.Context) error {
		got := h.post(t, body, pairs...)
		if got.status != http.StatusAccepted {
			return fmt.Errorf("%s: %d %s", what, got.status, got.body)
		}
		id = got.receipt(t).ID
		return nil
	})
	return id
}

// TestSignedRequests: what the sender has signed is executed, and nothing else.
func TestSignedRequests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		preset    string
		sign      signer
		old, next string // secrets
		timed     bool
	}{
		{"github", signGitHub, "It's a Secret to Everybody", "another", false},
		{"stripe", signStripe, "whsec_old", "whsec_new", true},
		{"standard-webhooks", signStandard, "whsec_b2xkIHNlY3JldCBvZiBhIHNlbmRlcg==", "whsec_bmV3IHNlY3JldCBvZiBhIHNlbmRlcg==", true},
	} {
		t.Run(tt.preset, func(t *testing.T) {
			t.Parallel()
			w := sharedStack(t).newWorld(t, "ann")
			h := w.signed(t, "Signed", "{signature: "+tt.preset+"}", tt.old)
			body := func(n int) string { return fmt.Sprintf(`{"user":"ann","amount":1,"id":"evt_%d"}`, n) }
			event := func(n int) string { return fmt.Sprintf("evt_%d", n) }
			right := func(secret string, n int) []string { return tt.sign(secret, event(n), body(n), time.Now()) }

			wantApplied(t, w.settled(t, h.wantAccepted(t, "right", body(1), right(tt.old, 1)...)))
			if again := w.settled(t, h.wantAccepted(t, "sent again", body(1), right(tt.old, 1)...)); again.Outcome != "duplicate" {
				t.Errorf("the sender's id of the event is no key: %+v", again)
			}
			refused := func(what, body string, pairs ...string) {
				t.Helper()
				h.wantRefused(t, what, http.StatusUnauthorized, "invalid_signature", body, pairs...)
			}
			refused("unsigned", body(2))
			refused("of another secret", body(2), right(tt.next, 2)...)
			refused("another body", strings.Replace(body(2), `"amount":1`, `"amount":999999`, 1), right(tt.old, 2)...)
			if tt.timed {
				refused("old", body(2), tt.sign(tt.old, event(2), body(2), time.Now().Add(-time.Hour))...)
			}

			h.setSecret(t, tt.next, "24h")
			wantApplied(t, w.settled(t, h.wantAccepted(t, "the new secret", body(3), right(tt.next, 3)...)))
			wantApplied(t, w.settled(t, h.wantAccepted(t, "the old secret in its overlap", body(4), right(tt.old, 4)...)))
			h.setSecret(t, tt.next, "0")
			refused("the old secret after it", body(5), right(tt.old, 5)...)
			wantApplied(t, w.settled(t, h.wantAccepted(t, "the new secret all the while", body(6), right(tt.next, 6)...)))
			w.wantBalances(t, "ann", "4", "0")
		})
	}
}

// TestAMadeUpStripeSignatureCreditsNothing: it once credited 999,999 coins.
func TestAMadeUpStripeSignatureCreditsNothing(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.signed(t, "Stripe", "{signature: stripe}", "whsec_s")
	at := strconv.FormatInt(time.Now().Unix(), 10)
	h.wantRefused(t, "made up", http.StatusUnauthorized, "invalid_signature", coinsBody("ann", "999999"), "Stripe-Signature", "t="+at+",v1=deadbeef")
	body := coinsBody("ann", "1")
	wantApplied(t, w.settled(t, h.wantAccepted(t, "right", body, signStripe("whsec_s", "", body, time.Now())...)))
	w.wantBalances(t, "ann", "1", "0")
}

// TestASecretThatCannotBeOpenedStopsItsWebhookAlone: senders try again, and others are
// served.
func TestASecretThatCannotBeOpenedStopsItsWebhookAlone(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h, other := w.signed(t, "Sealed", "{signature: github}", "s"), w.hook(t, "Other", "active", userLine+addCoins)
	env := maps.Clone(w.Env())
	env["COINHOOK_MASTER_KEY"] = randomKey(t)
	if r := run(t, w.Dir(), env, "", "webhooks", "set-secret", h.ID, "--secret", "s", "--overlap", "0"); r.code != 0 {
		t.Fatalf("set-secret: %+v", r)
	}
	body := coinsBody("ann", "1")
	h.wantRefused(t, "sealed under another key", http.StatusServiceUnavailable, "not_accepted", body, signGitHub("s", "1", body, time.Now())...)
	wantApplied(t, w.settled(t, other.deliver(t, body)))
	h.setSecret(t, "s", "0")
	wantApplied(t, w.settled(t, h.wantAccepted(t, "one that can be opened", body, signGitHub("s", "1", body, time.Now())...)))
	w.wantBalances(t, "ann", "2", "0")
}

func TestBasicCredentialsAndAddresses(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.signed(t, "Basic", "{basic: {username: shop}}", "p:w")
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	body := coinsBody("ann", "1")
	id := h.wantAccepted(t, "right", body, "Authorization", basic("shop:p:w"))
	wantApplied(t, w.settled(t, id))
	var kept deliveryJSON
	w.query(t, &kept, "deliveries", "show", id)
	for _, header := range kept.Headers {
		if header.Name == "Authorization" {
			t.Error("the credentials are kept with the delivery")
		}
	}
	h.wantRefused(t, "a wrong password", http.StatusUnauthorized, "invalid_credentials", body, "Authorization", basic("shop:pw"))
	h.wantRefused(t, "none", http.StatusUnauthorized, "invalid_credentials", body)
	h.apply(t, strings.Replace(h.yaml, "{basic: {username: shop}}", "{basic: {username: shop}, allow: [203.0.113.0/24]}", 1))
	h.wantRefused(t, "another address", http.StatusForbidden, "address_not_allowed", body, "Authorization", basic("shop:p:w"))
	h.apply(t, strings.Replace(h.yaml, "203.0.113.0/24", "127.0.0.0/8, '::1'", 1))
	wantApplied(t, w.settled(t, h.wantAccepted(t, "its address", body, "Authorization", basic("shop:p:w"))))
	w.wantBalances(t, "ann", "2", "0")
}

// TestWhatCoinhookSignsIsAccepted: an admin tests a sender with it.
func TestWhatCoinhookSignsIsAccepted(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.signed(t, "Tested", "{signature: stripe}", "whsec_s")
	r := run(t, w.Dir(), w.Env(), coinsBody("ann", "1"), "sign", h.ID, "-o", "json")
	var signed struct {
		Method, URL, Body, Curl string
		Headers                 map[string]string
	}
	if err := json.Unmarshal([]byte(r.stdout), &signed); r.code != 0 || err != nil || signed.Method != http.MethodPost || signed.URL != w.IngressURL()+"/hooks/"+h.ID {
		t.Fatalf("sign: %+v", r)
	}
	var pairs []string
	for name, value := range signed.Headers {
		pairs = append(pairs, name, value)
	}
	wantApplied(t, w.settled(t, h.wantAccepted(t, "signed by coinhook", signed.Body, pairs...)))
	w.wantBalances(t, "ann", "1", "0")
}
