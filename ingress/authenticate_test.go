package ingress_test

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/ingress/verify"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// keyOf is a master key of one byte, repeated.
func keyOf(tb testing.TB, b byte) secret.MasterKey {
	tb.Helper()
	key, err := secret.ParseMasterKey(base64.StdEncoding.EncodeToString(slices.Repeat([]byte{b}, 32)))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// sealed are texts of a webhook, the newest first. Those behind it end at the times.
func sealed(tb testing.TB, purpose secret.Purpose, texts []string, ends ...time.Time) []secret.SealedText {
	tb.Helper()
	var all []secret.SealedText
	for i, text := range texts {
		kept, err := keyOf(tb, 1).SealText(purpose, id, text, noon.Add(-48*time.Hour))
		if err != nil {
			tb.Fatal(err)
		}
		if i > 0 {
			kept.ExpiresAt = &ends[i-1]
		}
		all = append(all, kept)
	}
	return all
}

// compiled is an active webhook with that auth.
func compiled(tb testing.TB, auth webhook.Auth, change ...func(*webhook.Record)) *webhook.Webhook {
	tb.Helper()
	rec := webhook.Record{ID: id}
	rec.State, rec.Encryption, rec.Auth = webhook.Active, webhook.NoEncryption, auth
	for _, f := range change {
		f(&rec)
	}
	w, err := webhook.Compile(rec, 7)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func preset(name string) webhook.Auth {
	return webhook.Auth{Signature: &webhook.Signature{Preset: name}}
}

func signedBy(tb testing.TB, texts []string, ends ...time.Time) func(*webhook.Record) {
	return func(r *webhook.Record) { r.SigningSecrets = sealed(tb, secret.SigningSecret, texts, ends...) }
}

func withPassword(tb testing.TB, texts []string, ends ...time.Time) func(*webhook.Record) {
	return func(r *webhook.Record) { r.BasicPasswords = sealed(tb, secret.BasicPassword, texts, ends...) }
}

// sign makes a request as the sender of a webhook would.
func sign(tb testing.TB, w *webhook.Webhook, text, body string, at time.Time) ingress.Request {
	tb.Helper()
	r := signature.Request{Method: http.MethodPost, URL: "https://hooks.example/hooks/" + id, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
	signed, err := w.Scheme.Sign(r, text, "evt_1", at)
	if err != nil {
		tb.Fatal(err)
	}
	return ingress.Request{
		Head: ingress.Head{
			WebhookID: id, Method: http.MethodPost, Scheme: "https", Host: "hooks.example", URI: strings.TrimPrefix(signed.URL, "https://hooks.example"),
			Header: signed.Header, Address: netip.MustParseAddr("203.0.113.7"),
		},
		Body: []byte(body),
	}
}

// run makes both steps, and returns "pending" or the code, and the cause.
func run(t *testing.T, r *ingress.Receiver, req ingress.Request) (outcome, cause string) {
	t.Helper()
	w, err := r.Authenticate(req.Head)
	if err == nil {
		req.Webhook = w
		var receipt ingress.Receipt
		if receipt, err = r.Receive(t.Context(), req); err == nil {
			return receipt.Status, ""
		}
	}
	var e *ingress.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v", err)
	}
	if strings.Contains(e.Detail, e.Cause) && e.Cause != "" {
		t.Errorf("the sender is told the cause: %s", e.Detail)
	}
	return string(e.Code), e.Cause
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	const body = `{"coins":5}`
	github := compiled(t, preset("github"), signedBy(t, []string{"new", "old", "older"}, noon.Add(time.Hour), noon.Add(-time.Hour)))
	stripe := compiled(t, preset("stripe"), signedBy(t, []string{"whsec_s"}))
	both := compiled(t, webhook.Auth{APIKey: true, Signature: github.Auth.Signature}, signedBy(t, []string{"new"}))
	unset := compiled(t, preset("github"))
	damaged := compiled(t, preset("github"), signedBy(t, []string{"new"}))
	damaged.ID = "wh_bbbbbbbbbbbbbbbbbbbbbbbbbb" // sealed for another webhook

	changed := func(req ingress.Request, body string) ingress.Request { req.Body = []byte(body); return req }
	header := func(req ingress.Request, name, value string) ingress.Request {
		req.Header = maps.Clone(req.Header)
		req.Header.Set(name, value)
		return req
	}
	for name, tt := range map[string]struct {
		webhook *webhook.Webhook
		request ingress.Request
		want    string
		cause   string
	}{
		"right":                           {github, sign(t, github, "new", body, noon), "pending", ""},
		"the old secret in its overlap":   {github, sign(t, github, "old", body, noon), "pending", ""},
		"the old secret after it":         {github, sign(t, github, "older", body, noon), "invalid_signature", "rotated out"},
		"forged":                          {github, sign(t, github, "guess", body, noon), "invalid_signature", "does not match"},
		"a changed body":                  {github, changed(sign(t, github, "new", body, noon), `{"coins":6}`), "invalid_signature", "does not match"},
		"an empty body":                   {github, changed(sign(t, github, "new", "", noon), ""), "empty_body", ""},
		"an empty body, forged":           {github, changed(sign(t, github, "guess", "", noon), ""), "invalid_signature", "does not match"},
		"encrypted, forged":               {github, header(sign(t, github, "guess", body, noon), "X-Encrypted", "true"), "invalid_signature", "does not match"},
		"encrypted":                       {github, header(sign(t, github, "new", body, noon), "X-Encrypted", "true"), "encryption_not_enabled", ""},
		"no signature":                    {github, ingress.Request{Head: ingress.Head{WebhookID: id, Header: http.Header{}}, Body: []byte(body)}, "invalid_signature", "X-Hub-Signature-256 is missing"},
		"made up":                         {stripe, header(sign(t, stripe, "whsec_s", body, noon), "Stripe-Signature", "t=1,v1=deadbeef"), "invalid_signature", ""},
		"an old timestamp":                {stripe, sign(t, stripe, "whsec_s", body, noon.Add(-9*time.Minute)), "invalid_signature", "9 minutes old"},
		"no secret":                       {unset, sign(t, github, "new", body, noon), "not_accepted", "set-secret"},
		"a secret that cannot be opened":  {damaged, sign(t, github, "new", body, noon), "not_accepted", "cannot be opened"},
		"a key that is missing":           {both, sign(t, github, "new", body, noon), "invalid_api_key", "missing"},
		"a key that is wrong, and forged": {both, header(sign(t, github, "no", body, noon), "X-Api-Key", "chk_no"), "invalid_api_key", "none of this webhook's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p publisher
			r := receiver(definitions{id: tt.webhook}, &p)
			r.Secrets = verify.NewVault(keyOf(t, 1), nil)
			got, cause := run(t, r, tt.request)
			if got != tt.want || !strings.Contains(cause, tt.cause) {
				t.Errorf("%s because %q, want %s because %q", got, cause, tt.want, tt.cause)
			}
			if stored := got == "pending"; (len(p.published) == 1) != stored {
				t.Errorf("%d stored", len(p.published))
			}
		})
	}
}

// TestWithoutTheMasterKeyOthersGoOn: what needs no secret is served.
func TestWithoutTheMasterKeyOthersGoOn(t *testing.T) {
	t.Parallel()
	text, key := secret.NewAPIKey(noon)
	github := compiled(t, preset("github"), signedBy(t, []string{"new"}))
	for name, vault := range map[string]*verify.Vault{
		"none": nil, "no key": verify.NewVault(secret.MasterKey{}, nil), "another": verify.NewVault(keyOf(t, 2), nil),
	} {
		r := receiver(definitions{id: github}, &publisher{})
		r.Secrets = vault
		if got, cause := run(t, r, sign(t, github, "new", "x", noon)); got != "not_accepted" || cause == "" {
			t.Errorf("%s: %s because %q", name, got, cause)
		}
		r.Definitions = definitions{id: active(keyed(key))}
		if got, cause := run(t, r, ingress.Request{Head: ingress.Head{WebhookID: id, Header: header("x-api-key", text)}, Body: []byte("x")}); got != "pending" {
			t.Errorf("%s: a webhook with a key gets %s because %q", name, got, cause)
		}
	}
}

func TestBasic(t *testing.T) {
	t.Parallel()
	auth := webhook.Auth{Basic: &webhook.Basic{Username: "shop"}}
	w := compiled(t, auth, withPassword(t, []string{"p:new", "old", "older"}, noon.Add(time.Hour), noon))
	encode := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, tt := range map[string]struct{ header, want, cause string }{
		"right":             {encode("shop:p:new"), "pending", ""},
		"in lower case":     {"basic" + strings.TrimPrefix(encode("shop:p:new"), "Basic"), "pending", ""},
		"old":               {encode("shop:old"), "pending", ""},
		"over":              {encode("shop:older"), "invalid_credentials", "its overlap is over"},
		"another user":      {encode("shops:p:new"), "invalid_credentials", "is wrong"},
		"a user in capital": {encode("Shop:p:new"), "invalid_credentials", "is wrong"},
		"no password":       {encode("shop"), "invalid_credentials", "is wrong"},
		"nothing":           {"", "invalid_credentials", "is missing"},
		"a bearer":          {"Bearer x", "invalid_credentials", "another scheme"},
		"no base64":         {"Basic %%", "invalid_credentials", "not base64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p publisher
			r := receiver(definitions{id: w}, &p)
			r.Secrets = verify.NewVault(keyOf(t, 1), nil)
			h := header()
			if tt.header != "" {
				h.Set("Authorization", tt.header)
			}
			got, cause := run(t, r, ingress.Request{Head: ingress.Head{WebhookID: id, Header: h}, Body: []byte("x")})
			if got != tt.want || !strings.Contains(cause, tt.cause) {
				t.Errorf("%s because %q, want %s because %q", got, cause, tt.want, tt.cause)
			}
			if len(p.published) == 1 && len(p.published[0].Headers) != 0 {
				t.Errorf("kept %v", p.published[0].Headers)
			}
		})
	}
}

// TestOrderOfAuthentication: who may not send does not learn what comes next.
func TestOrderOfAuthentication(t *testing.T) {
	t.Parallel()
	text, key := secret.NewAPIKey(noon)
	all := webhook.Auth{APIKey: true, Signature: &webhook.Signature{Preset: "github"}, Basic: &webhook.Basic{Username: "shop"}, Allow: []string{"203.0.113.0/24"}}
	w := compiled(t, all, signedBy(t, []string{"s"}), withPassword(t, []string{"p"}), func(r *webhook.Record) {
		r.APIKeys, r.Encryption = []secret.APIKey{key}, webhook.GCM
	})
	req := sign(t, w, "s", "x", noon)
	right := req.Header
	req.Header = http.Header{}
	req.Address = netip.MustParseAddr("198.51.100.1")
	for _, step := range []struct {
		code string
		mend func()
	}{
		{"address_not_allowed", func() { req.Address = netip.MustParseAddr("203.0.113.7") }},
		{"invalid_api_key", func() { req.Header.Set("X-Api-Key", text) }},
		{"invalid_credentials", func() { req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("shop:p"))) }},
		{"invalid_signature", func() { maps.Copy(req.Header, right) }},
		{"encryption_required", func() { req.Header.Set("X-Encrypted", "true") }},
		{"pending", func() {}},
	} {
		r := receiver(definitions{id: w}, &publisher{})
		r.Secrets = verify.NewVault(keyOf(t, 1), nil)
		if got, cause := run(t, r, req); got != step.code {
			t.Errorf("%s because %q, want %s", got, cause, step.code)
		}
		step.mend()
	}
}

// TestWhatIsKeptOfSignedRequests: the id for the idempotency key, and no signature.
func TestWhatIsKeptOfSignedRequests(t *testing.T) {
	t.Parallel()
	query := webhook.Auth{Signature: &webhook.Signature{SignatureForm: webhook.SignatureForm{
		Algorithm: signature.HMACSHA256, From: signature.Place{Header: "X-Sig"}, Encoding: signature.Hex, Signed: "{id}.{body}", ID: signature.Place{Query: "event"},
	}}}
	for name, tt := range map[string]struct {
		auth webhook.Auth
		want []delivery.Header
	}{
		"an id in a header": {preset("github"), []delivery.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "X-Github-Delivery", Value: "evt_1"}}},
		"an id elsewhere":   {query, []delivery.Header{{Name: "Coinhook-Signature-Id", Value: "evt_1"}, {Name: "Content-Type", Value: "application/json"}}},
		"no id":             {preset("shopify"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := compiled(t, tt.auth, signedBy(t, []string{"s"}))
			var p publisher
			r := receiver(definitions{id: w}, &p)
			r.Secrets = verify.NewVault(keyOf(t, 1), nil)
			req := sign(t, w, "s", "x", noon)
			req.Header.Set(webhook.SignatureIDHeader, "mine")
			if got, cause := run(t, r, req); got != "pending" {
				t.Fatalf("%s because %s", got, cause)
			}
			got := p.published[0].Headers
			for _, h := range got {
				if strings.Contains(strings.ToLower(h.Name), "sig") && h.Name != webhook.SignatureIDHeader || h.Value == "mine" {
					t.Errorf("kept %+v", h)
				}
			}
			if tt.want != nil && !cmp.Equal(tt.want, got) {
				t.Errorf("headers (-want +got):\n%s", cmp.Diff(tt.want, got))
			}
		})
	}
}
