package signature_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/signature"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// plain is the long form that an admin writes for a sender of their own.
func plain() signature.Spec {
	return signature.Spec{
		Algorithm: signature.HMACSHA256, Encoding: signature.Hex, Prefix: "sha256=",
		From: signature.Place{Header: "x-signature"}, Signed: "{timestamp}.{body}",
		Timestamp: signature.Place{Header: "x-timestamp"}, ID: signature.Place{Header: "x-id"}, Tolerance: 5 * time.Minute,
	}
}

func compiled(t testing.TB, spec signature.Spec) *signature.Scheme {
	t.Helper()
	s, err := signature.Compile(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// signed signs a request at noon with "secret".
func signed(t testing.TB, s *signature.Scheme, r signature.Request) signature.Request {
	t.Helper()
	r, err := s.Sign(r, "secret", "evt_1", noon)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerifySaysWhyNot(t *testing.T) {
	t.Parallel()
	s := compiled(t, plain())
	v := open(t, s, signature.Secret{Text: "secret"})
	for name, test := range map[string]struct {
		change func(r *signature.Request)
		want   string
	}{
		"nothing is wrong": {func(*signature.Request) {}, ""},
		"no signature":     {func(r *signature.Request) { delete(r.Header, "X-Signature") }, "the header X-Signature is missing"},
		"no timestamp":     {func(r *signature.Request) { delete(r.Header, "X-Timestamp") }, "the header X-Timestamp is missing"},
		"no prefix": {
			func(r *signature.Request) { r.Header["X-Signature"][0] = r.Header["X-Signature"][0][7:] },
			"X-Signature holds no signature of the form that the webhook expects",
		},
		"no hex": {
			func(r *signature.Request) { r.Header["X-Signature"] = []string{"sha256=zzzz"} },
			"X-Signature holds no signature of the form that the webhook expects",
		},
		"too many signatures": {
			func(r *signature.Request) {
				r.Header["X-Signature"] = []string{strings.Repeat("sha256=00,", 8) + r.Header["X-Signature"][0]}
			},
			"X-Signature holds no signature of the form that the webhook expects",
		},
		"a long header": {
			func(r *signature.Request) {
				r.Header["X-Signature"] = []string{strings.Repeat(",", 4096) + r.Header["X-Signature"][0]}
			},
			"X-Signature holds no signature of the form that the webhook expects",
		},
		"no time": {func(r *signature.Request) { r.Header["X-Timestamp"] = []string{"noon"} }, "X-Timestamp holds no timestamp"},
		"two timestamps": {
			func(r *signature.Request) { r.Header["X-Timestamp"] = append(r.Header["X-Timestamp"], "1") },
			"X-Timestamp cannot be read, or is there more than once with different values",
		},
		"two ids": {
			func(r *signature.Request) { r.Header["X-Id"] = append(r.Header["X-Id"], "evt_2") },
			"X-Id cannot be read, or is there more than once with different values",
		},
		"another body": {
			func(r *signature.Request) { r.Body = []byte("{} ") },
			"the signature does not match: the secret is another one, or the request was changed on its way",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := signed(t, s, post("{}", nil))
			test.change(&r)
			id, cause := v.Verify(r, noon)
			if diff := cmp.Diff(test.want, cause.String()); diff != "" {
				t.Errorf("cause (-want +got):\n%s", diff)
			}
			if want := map[bool]string{true: "evt_1"}[test.want == ""]; id != want {
				t.Errorf("the id is %q, want %q", id, want)
			}
		})
	}
}

func TestVerifySaysWhichTimeIsWrong(t *testing.T) {
	t.Parallel()
	s := compiled(t, plain())
	r := signed(t, s, post("{}", nil))
	ended := time.Date(2026, 11, 19, 8, 30, 0, 0, time.UTC)
	for _, test := range []struct {
		now    time.Time
		secret signature.Secret
		want   string
	}{
		{noon.Add(9 * time.Minute), signature.Secret{Text: "secret"}, "the signature is right, but its timestamp is 9 minutes old; 5 minutes are allowed"},
		{noon.Add(72 * time.Hour), signature.Secret{Text: "secret"}, "the signature is right, but its timestamp is 3 days old; 5 minutes are allowed"},
		{noon.Add(-6 * time.Minute), signature.Secret{Text: "secret"}, "the signature is right, but its timestamp is 6 minutes in the future; 5 minutes are allowed"},
		{noon, signature.Secret{Text: "secret", Ends: ended}, "the signature is right for another secret, which was rotated out on 2026-11-19 08:30 UTC"},
		{noon, signature.Secret{Text: "secret", Ends: noon}, "the signature is right for another secret, which was rotated out on 2026-11-20 12:00 UTC"},
		{noon, signature.Secret{Text: "secret", Ends: noon.Add(1)}, ""},
	} {
		_, cause := open(t, s, test.secret).Verify(r, test.now)
		if diff := cmp.Diff(test.want, cause.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.now, diff)
		}
	}
	if _, cause := open(t, s).Verify(r, noon); cause.String() != "the webhook has no signing secret; set it with `coinhook webhooks set-secret`" {
		t.Errorf("without a secret: %q", cause)
	}
}

// A sender of Svix' headers must not be given another id by somebody who adds an
// unsigned webhook-id to a request that was signed.
func TestVerifyRefusesTwoIDs(t *testing.T) {
	t.Parallel()
	v := open(t, scheme(t, "standard-webhooks"), signature.Secret{Text: sharedKey})
	r := standard("Svix", standardV1)
	r.Header["Webhook-Id"] = []string{"msg_other"}
	if _, cause := v.Verify(r, standardAt); cause.Kind != signature.MalformedRequest || cause.Place != "Webhook-Id" {
		t.Errorf("another id: %+v", cause)
	}
	r.Header["Webhook-Id"] = []string{standardID}
	if id, cause := v.Verify(r, standardAt); !cause.IsZero() || id != standardID {
		t.Errorf("the same id: %q, %s", id, cause)
	}
}

// Twilio puts a JSON body's hash into the URL, and signs the URL alone.
func TestVerifyChecksTwiliosBodyDigest(t *testing.T) {
	t.Parallel()
	v := open(t, scheme(t, "twilio"), signature.Secret{Text: "12345"})
	for _, vector := range vectors() {
		if vector.name != "JSON" {
			continue
		}
		r := clone(vector.request)
		r.Body = append(r.Body, ' ')
		if _, cause := v.Verify(r, noon); cause.Kind != signature.WrongSignature {
			t.Errorf("a changed body: %+v", cause)
		}
		// Nothing may be passed by a content type that hides the body.
		r.Header["Content-Type"] = []string{form}
		if _, cause := v.Verify(r, noon); cause.Kind != signature.WrongSignature {
			t.Errorf("the same called a form: %+v", cause)
		}
		r.URL, r.Header["Content-Type"] = "https://mycompany.com/myapp.php?foo=1&bar=2", []string{"application/json"}
		if _, cause := v.Verify(r, noon); cause.Kind != signature.MissingQuery {
			t.Errorf("without the digest: %+v", cause)
		}
	}
}

func TestTimestampsOfAllFormsAreRead(t *testing.T) {
	t.Parallel()
	for clock, text := range map[signature.Clock]string{
		signature.UnixSeconds: "1795176000", signature.UnixMilliseconds: "1795176000000", signature.RFC3339: "2026-11-20T12:00:00Z",
	} {
		spec := plain()
		spec.Clock = clock
		s := compiled(t, spec)
		r := signed(t, s, post("{}", nil))
		if got := r.Header["X-Timestamp"][0]; got != text {
			t.Errorf("%q writes %s, want %s", clock, got, text)
		}
		v := open(t, s, signature.Secret{Text: "secret"})
		if _, cause := v.Verify(r, noon.Add(5*time.Minute)); !cause.IsZero() {
			t.Errorf("%q: %s", clock, cause)
		}
		if _, cause := v.Verify(r, noon.Add(6*time.Minute)); cause.Kind != signature.TimestampTooOld {
			t.Errorf("%q, old: %s", clock, cause)
		}
	}
}

func TestLongForms(t *testing.T) {
	t.Parallel()
	r := signature.Request{
		Method: "PUT", URL: "https://hooks.example.com/hooks/wh_test?user=ada%40example.com&coins=5",
		Header: map[string][]string{"X-Event": {"paid"}}, Body: []byte("{}"),
	}
	for _, algorithm := range signature.Algorithms() {
		if algorithm.IsPublic() {
			continue
		}
		for _, encoding := range []signature.Encoding{signature.Hex, signature.Base64} {
			for _, from := range []signature.Place{{Header: "Authorization"}, {Query: "signature"}} {
				spec := signature.Spec{
					Algorithm: algorithm, Encoding: encoding, From: from, Prefix: "Signature ",
					Signed: "{method}|{header.x-event}|{query.user}|{query.coins}|{body}|{body.sha256}|{secret}|{{}}",
				}
				s := compiled(t, spec)
				got := signed(t, s, r)
				v := open(t, s, signature.Secret{Text: "secret"})
				if _, cause := v.Verify(got, noon); !cause.IsZero() {
					t.Errorf("%+v: %s", spec, cause)
				}
				for name, change := range map[string]func(r *signature.Request){
					"method": func(r *signature.Request) { r.Method = "POST" },
					"header": func(r *signature.Request) { r.Header["X-Event"] = []string{"refunded"} },
					"query":  func(r *signature.Request) { r.URL = strings.Replace(r.URL, "coins=5", "coins=50", 1) },
					"body":   func(r *signature.Request) { r.Body = []byte("[]") },
				} {
					changed := clone(got)
					change(&changed)
					if _, cause := v.Verify(changed, noon); cause.Kind != signature.WrongSignature {
						t.Errorf("%+v with another %s: %+v", spec, name, cause)
					}
				}
				twice := clone(got)
				twice.URL += "&coins=500"
				if _, cause := v.Verify(twice, noon); cause.Kind != signature.MalformedRequest {
					t.Errorf("%+v with a parameter twice: %+v", spec, cause)
				}
			}
		}
	}
}

func TestSecretsHaveTheSendersForm(t *testing.T) {
	t.Parallel()
	const pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"
	const weak = "this public key of ed25519 proves nothing: signatures for it can be made without a private key; use the one that the sender shows"
	for _, test := range []struct{ preset, secret, want string }{
		{"stripe", "whsec_abc", ""},
		{"stripe", "", "the secret is empty"},
		{"stripe", " \t", "the secret is empty"},
		{"stripe", strings.Repeat("a", 4097), "the secret is longer than 4096 bytes"},
		{"standard-webhooks", sharedKey, ""},
		{"standard-webhooks", strings.TrimPrefix(sharedKey, "whsec_"), ""},
		{"standard-webhooks", publicKey, ""},
		{"standard-webhooks", "whsec_!", `the secret is not base64, which follows "whsec_" in this sender's secrets`},
		{"standard-webhooks", "whsec_", `the secret is not base64, which follows "whsec_" in this sender's secrets`},
		{"standard-webhooks", "whpk_AAAA", "this is not a public key of ed25519: want hex, base64 or PEM, as the sender shows it"},
		{"discord", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", ""},
		{"discord", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", ""},
		{"discord", pem, ""},
		{"discord", "d75a98", "this is not a public key of ed25519: want hex, base64 or PEM, as the sender shows it"},
		{"discord", strings.Repeat("00", 32), weak},
		{"discord", "01" + strings.Repeat("00", 31), weak},
		{"discord", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", weak},
		{"discord", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", weak},
		{"discord", "02" + strings.Repeat("00", 31), "this is not a public key of ed25519: want hex, base64 or PEM, as the sender shows it"},
		{"sendgrid", pem, "this is not a public key of ecdsa-p256-sha256: want hex, base64 or PEM, as the sender shows it"},
	} {
		got := ""
		if err := scheme(t, test.preset).CheckSecret(test.secret); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s, %.20q: %q, want %q", test.preset, test.secret, got, test.want)
		}
		if _, err := scheme(t, test.preset).Open([]signature.Secret{{Text: test.secret}}); (err != nil) != (test.want != "") {
			t.Errorf("%s, %.20q: Open says %v", test.preset, test.secret, err)
		}
	}
}

// An event without an id is taken where the id is not signed, wherever it would be.
func TestAnIDThatIsNotSignedMayBeMissing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		place   signature.Place
		missing signature.Kind // where the id is signed
	}{
		"a header":    {signature.Place{Header: "X-Id"}, signature.MissingHeader},
		"a parameter": {signature.Place{Query: "event"}, signature.MissingQuery},
		"a field":     {signature.Place{Field: "id"}, signature.MalformedSignature},
	} {
		spec := plain()
		spec.ID = test.place
		without := spec
		without.ID = signature.Place{}
		unsigned := signed(t, compiled(t, without), post("{}", nil))
		secret := signature.Secret{Text: "secret"}
		if id, cause := open(t, compiled(t, spec), secret).Verify(unsigned, noon); id != "" || !cause.IsZero() {
			t.Errorf("%s: the id is %q, and %q", name, id, cause)
		}
		s := compiled(t, spec)
		if id, cause := open(t, s, secret).Verify(signed(t, s, post("{}", nil)), noon); id != "evt_1" || !cause.IsZero() {
			t.Errorf("%s that is there: the id is %q, and %q", name, id, cause)
		}
		spec.Signed = "{id}" + spec.Signed
		if _, cause := open(t, compiled(t, spec), secret).Verify(unsigned, noon); cause.Kind != test.missing {
			t.Errorf("%s that is signed: %+v, want %s", name, cause, test.missing)
		}
	}
}

// Where the URL is signed, so is that it has no id.
func TestASignedURLMayHaveNoID(t *testing.T) {
	t.Parallel()
	spec := plain()
	spec.ID, spec.Signed = signature.Place{}, "{timestamp}{url}{body}"
	r := signed(t, compiled(t, spec), post("{}", nil))
	spec.ID = signature.Place{Query: "event"}
	v := open(t, compiled(t, spec), signature.Secret{Text: "secret"})
	if id, cause := v.Verify(r, noon); id != "" || !cause.IsZero() {
		t.Errorf("the id is %q, and %q", id, cause)
	}
	r.URL += "?event=evt_2"
	if _, cause := v.Verify(r, noon); cause.Kind != signature.WrongSignature {
		t.Errorf("an id that was added: %+v", cause)
	}
}

// net/http has the header Host apart from the others.
func TestTheHostCanBeSigned(t *testing.T) {
	t.Parallel()
	spec := plain()
	spec.Signed = "{method} {header.host} {timestamp} {body}"
	s := compiled(t, spec)
	v := open(t, s, signature.Secret{Text: "secret"})
	r := signed(t, s, post("{}", nil))
	if _, cause := v.Verify(r, noon); !cause.IsZero() {
		t.Errorf("%s", cause)
	}
	const signedText = "POST hooks.example.com 1795176000 {}"
	mac := hmac.New(sha256.New, []byte("secret"))
	mac.Write([]byte(signedText))
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); r.Header["X-Signature"][0] != want {
		t.Errorf("the signature is not that of %q", signedText)
	}
	r.URL = "https://hooks.example.org/hooks/wh_test"
	if _, cause := v.Verify(r, noon); cause.Kind != signature.WrongSignature {
		t.Errorf("another host: %+v", cause)
	}
}
