package webhook_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const signatureYAML = `name: Shop
community: default
state: draft
auth:
  api_key: true
  signature:
    algorithm: hmac-sha256
    from: {header: X-Signature}
    encoding: hex
    prefix: "sha256="
    signed: "{timestamp}.{body}"
    timestamp: {field: t}
    id: {header: X-Id}
    tolerance: 5m
  basic: {username: shop}
  allow: [203.0.113.0/24, "2001:db8::1"]
encryption: none
`

func longForm() webhook.Auth {
	return webhook.Auth{
		APIKey: true,
		Signature: &webhook.Signature{SignatureForm: webhook.SignatureForm{
			Algorithm: signature.HMACSHA256, From: signature.Place{Header: "X-Signature"}, Encoding: signature.Hex, Prefix: "sha256=",
			Signed: "{timestamp}.{body}", Timestamp: signature.Place{Field: "t"}, ID: signature.Place{Header: "X-Id"}, Tolerance: "5m",
		}},
		Basic: &webhook.Basic{Username: "shop"},
		Allow: []string{"203.0.113.0/24", "2001:db8::1"},
	}
}

func TestAuthIsReadAndWritten(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		yaml string
		want webhook.Auth
		json string
	}{
		"the long form": {signatureYAML, longForm(), `{"api_key":true,"signature":{"algorithm":"hmac-sha256","from":{"header":"X-Signature"},"encoding":"hex",` +
			`"prefix":"sha256=","signed":"{timestamp}.{body}","timestamp":{"field":"t"},"id":{"header":"X-Id"},"tolerance":"5m"},` +
			`"basic":{"username":"shop"},"allow":["203.0.113.0/24","2001:db8::1"]}`},
		"basic": {
			"name: Shop\ncommunity: default\nstate: draft\nauth:\n  basic: {username: \"a b'c\"}\nencryption: none\n",
			webhook.Auth{Basic: &webhook.Basic{Username: "a b'c"}},
			`{"api_key":false,"basic":{"username":"a b'c"}}`,
		},
		"addresses": {
			"name: Shop\ncommunity: default\nstate: draft\nauth:\n  allow: [\"::1\"]\nencryption: none\n",
			webhook.Auth{Allow: []string{"::1"}},
			`{"api_key":false,"allow":["::1"]}`,
		},
		"in the query": {
			strings.Replace(strings.Replace(signatureYAML, "{header: X-Signature}", "{query: signature}", 1), "    timestamp: {field: t}\n", "    timestamp: {query: t}\n", 1),
			func() webhook.Auth {
				a := longForm()
				a.Signature.From, a.Signature.Timestamp = signature.Place{Query: "signature"}, signature.Place{Query: "t"}
				return a
			}(), "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := webhook.Parse([]byte(tt.yaml))
			if diff := cmp.Diff(tt.want, got.Auth); err != nil || diff != "" {
				t.Fatalf("error %v, auth (-want +got):\n%s", err, diff)
			}
			if src, err := webhook.Format(got); err != nil || string(src) != tt.yaml {
				t.Errorf("error %v, written as (-want +got):\n%s", err, cmp.Diff(tt.yaml, string(src)))
			}
			text, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), `"auth":`+tt.json) {
				t.Errorf("as JSON %s\nwant %s", text, tt.json)
			}
			var kept webhook.Definition
			if err := json.Unmarshal(text, &kept); err != nil || !cmp.Equal(kept, got) {
				t.Errorf("the record loses something: %v\n%s", err, cmp.Diff(got, kept))
			}
			again, err := webhook.Parse(text)
			if err != nil || !cmp.Equal(again.Auth, got.Auth) {
				t.Errorf("its JSON is not a definition: %v\n%s", err, cmp.Diff(got.Auth, again.Auth))
			}
		})
	}
}

// Each is refused with the line and the words given.
func TestAuthRefuses(t *testing.T) {
	t.Parallel()
	replace := func(old, with string) string {
		if !strings.Contains(signatureYAML, old) {
			panic(old)
		}
		return strings.Replace(signatureYAML, old, with, 1)
	}
	const line = "    tolerance: 5m\n"
	for about, tt := range map[string]struct{ src, want string }{
		"an unknown algorithm":             {replace("hmac-sha256", "hmac-md5"), `line 7: auth.signature.algorithm: "hmac-md5" is not known; there are hmac-sha1, `},
		"no algorithm":                     {replace("    algorithm: hmac-sha256\n", ""), "line 7: auth.signature.algorithm: is missing"},
		"no encoding":                      {replace("    encoding: hex\n", ""), "line 7: auth.signature.encoding: is missing; want hex or base64"},
		"an unknown encoding":              {replace("encoding: hex", "encoding: base32"), "line 9: auth.signature.encoding:"},
		"no place":                         {replace("    from: {header: X-Signature}\n", ""), "line 7: auth.signature.from: want exactly one place"},
		"two places":                       {replace("{header: X-Signature}", "{header: X-Signature, query: s}"), "line 8: auth.signature.from: want exactly one place"},
		"an empty place":                   {replace("{header: X-Id}", "{header: ''}"), "line 13: auth.signature.id: want exactly one place"},
		"a field that has no list":         {replace("{header: X-Signature}", "{field: s}"), `line 8: auth.signature.from: the key "field" is not known; the keys here are header, query`},
		"a bad header":                     {replace("X-Signature", "X Signature"), `line 8: auth.signature.from.header: "X Signature" is not the name of a header`},
		"a template that is none":          {replace("{timestamp}.{body}", "{timestamp}.{bdoy}"), "line 11: auth.signature.signed:"},
		"a template without the event":     {replace("{timestamp}.{body}", "{timestamp}"), "line 11: auth.signature.signed: nothing of the event is in it"},
		"no tolerance":                     {replace(line, ""), "line 7: auth.signature.tolerance: is missing; a timestamp needs it"},
		"a tolerance without a timestamp":  {replace("    timestamp: {field: t}\n", ""), "auth.signature"},
		"a tolerance without a unit":       {replace("5m", "5"), "line 14: auth.signature.tolerance: want text, not a number"},
		"a tolerance of a year":            {replace("5m", "8760h"), `line 14: auth.signature.tolerance: want a duration from 1s to 24h, such as 30s, 5m or 1h, not "8760h"`},
		"a plain hash without the secret":  {replace("hmac-sha256", "sha256"), "line 11: auth.signature.signed: sha256 is no proof without {secret} in it"},
		"an unknown key":                   {replace(line, "    secret: x\n"), `line 14: auth.signature: the key "secret" is not known; the keys here are algorithm, encoding, `},
		"an unknown preset":                {"name: N\nauth: {signature: zzz}", `line 2: auth.signature: the preset "zzz" is not known; `},
		"an empty preset":                  {"name: N\nauth: {signature: ''}", "line 2: auth.signature: is empty"},
		"a signature that is a number":     {"name: N\nauth: {signature: 5}", "line 2: auth.signature: want the name of a preset, or an object"},
		"basic without a name":             {"name: N\nauth:\n  basic: {}", "line 3: auth.basic.username: is missing"},
		"basic with a colon":               {"name: N\nauth:\n  basic: {username: 'a:b'}", "line 3: auth.basic.username: a name has no colon"},
		"a password in the definition":     {"name: N\nauth:\n  basic: {username: a, password: b}", `line 3: auth.basic: the key "password" is not known; the keys here are username`},
		"an address that is none":          {"name: N\nauth:\n  allow:\n    - 1.2.3.4\n    - shop.example", `line 5: auth.allow[1]: want an address such as 203.0.113.7`},
		"a network that is too wide":       {"name: N\nauth:\n  allow: [1.2.3.0/33]", `line 3: auth.allow[0]: want an address`},
		"an address with a zone":           {"name: N\nauth:\n  allow: ['fe80::1%eth0']", `line 3: auth.allow[0]: want an address`},
		"nobody":                           {"name: N\nauth:\n  allow: []", "line 3: auth.allow: is empty, so nobody could send"},
		"everybody by one":                 {"name: N\nauth:\n  allow: 1.2.3.4", "line 3: auth.allow: want a list, not text"},
		"too many":                         {"name: N\nauth:\n  allow: [" + strings.Repeat("1.2.3.4, ", 100) + "1.2.3.4]", "line 3: auth.allow: has 101 entries; the limit is 100"},
		"a condition on the signature":     {signatureYAML + "when: [{header: x-signature, exists: true}]", "line 18: when[0].header: X-Signature carries the signature and is not kept"},
		"a key that is the signature":      {signatureYAML + "idempotency: {header: x-signature}", "line 18: idempotency.header: X-Signature carries the signature"},
		"a preset's name in the long form": {"name: N\nauth: {signature: {preset: x}}", `line 2: auth.signature: the key "preset" is not known`},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			def, err := webhook.Parse([]byte(tt.src))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, definition %+v, want %s", err, def.Auth, tt.want)
			}
		})
	}
}

// TestAKeylessWebhookHasNoSecret: where it has one, its URL alone lets nobody send.
func TestAKeylessWebhookHasNoSecret(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		auth    webhook.Auth
		keyless bool
		format  int
	}{
		"nothing":    {webhook.Auth{}, true, 0},
		"API key":    {webhook.Auth{APIKey: true}, false, 0},
		"signature":  {webhook.Auth{Signature: longForm().Signature}, false, 3},
		"basic":      {webhook.Auth{Basic: &webhook.Basic{Username: "a"}}, false, 3},
		"an address": {webhook.Auth{Allow: []string{"1.2.3.4"}}, true, 3},
	} {
		rec := webhook.Record{Definition: webhook.Definition{Auth: tt.auth, State: webhook.Paused}}
		if rec.IsKeyless() != tt.keyless {
			t.Errorf("%s: keyless %t", name, rec.IsKeyless())
		}
		if format := rec.LeastFormat(); format != max(tt.format, 2) {
			t.Errorf("%s: format %d, want %d: an older ingress would let more pass", name, format, max(tt.format, 2))
		}
	}
}

func TestCompiledAuth(t *testing.T) {
	t.Parallel()
	def, err := webhook.Parse([]byte(signatureYAML))
	if err != nil {
		t.Fatal(err)
	}
	w, err := webhook.Compile(webhook.Record{ID: webhook.NewID(), Definition: def}, 1)
	if err != nil || w.Scheme == nil {
		t.Fatalf("%+v, %v", w, err)
	}
	if diff := cmp.Diff([]string{"X-Id", webhook.SignatureIDHeader, "Idempotency-Key", "Webhook-Id"}, w.KeyHeaders()); diff != "" {
		t.Errorf("headers that may hold the key (-want +got):\n%s", diff)
	}
	for address, want := range map[string]bool{
		"203.0.113.7": true, "::ffff:203.0.113.7": true, "203.0.114.1": false, "2001:db8::1": true, "2001:db8::2": false, "::": false,
	} {
		if got := w.Allows(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s may send: %t", address, got)
		}
	}
	if w.Allows(netip.Addr{}) {
		t.Error("an address that is not known may send")
	}
	w.Idempotency = &webhook.Idempotency{Header: "X-Event"}
	if diff := cmp.Diff([]string{"X-Event"}, w.KeyHeaders()); diff != "" {
		t.Errorf("the definition names a key (-want +got):\n%s", diff)
	}
}

// TestAuthThatCannotBeCompiledStaysShut: a record may be damaged, or have a preset of
// another version.
func TestAuthThatCannotBeCompiledStaysShut(t *testing.T) {
	t.Parallel()
	rec := webhook.Record{ID: webhook.NewID()}
	rec.Auth = webhook.Auth{Signature: &webhook.Signature{Preset: "nobody"}, Allow: []string{"1.2.3.4"}}
	w, err := webhook.Compile(rec, 1)
	if err == nil || w == nil || w.Scheme != nil || w.Auth.Signature == nil || w.Allows(netip.MustParseAddr("1.2.3.4")) {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestSecretsWorkForTheSameSender(t *testing.T) {
	t.Parallel()
	github, stripe := &webhook.Signature{Preset: "github"}, &webhook.Signature{Preset: "stripe"}
	long, other := longForm().Signature, longForm().Signature
	other.Prefix = ""
	if !github.SameSecrets(&webhook.Signature{Preset: "github"}) || !long.SameSecrets(other) {
		t.Error("the same sender has other secrets")
	}
	if github.SameSecrets(stripe) || github.SameSecrets(long) || github.SameSecrets(nil) || (*webhook.Signature)(nil).SameSecrets(github) {
		t.Error("another sender has the same secrets")
	}
}
