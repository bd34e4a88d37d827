package signature_test

import (
	"bytes"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/signature"
)

func scheme(t testing.TB, preset string) *signature.Scheme {
	t.Helper()
	p, ok := signature.Find(preset)
	if !ok {
		t.Fatalf("there is no preset %q", preset)
	}
	s, err := signature.Compile(p.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t testing.TB, s *signature.Scheme, secrets ...signature.Secret) *signature.Verifier {
	t.Helper()
	v, err := s.Open(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func clone(r signature.Request) signature.Request {
	r.Header, r.Body = maps.Clone(r.Header), bytes.Clone(r.Body)
	for name, values := range r.Header {
		r.Header[name] = slices.Clone(values)
	}
	return r
}

// digits is a signature in hex or base64.
var digits = regexp.MustCompile(`[0-9A-Za-z+/]{27,}`)

// forge changes every signature of a request, and keeps its length.
func forge(preset string, r signature.Request) signature.Request {
	r = clone(r)
	p, _ := signature.Find(preset)
	change := func(text string) string {
		return digits.ReplaceAllStringFunc(text, func(s string) string {
			return s[:10] + strings.Map(func(c rune) rune { return map[bool]rune{true: '3', false: '7'}[c == '7'] }, s[10:20]) + s[20:]
		})
	}
	if p.Spec.From.Query != "" {
		before, after, _ := strings.Cut(r.URL, p.Spec.From.Query+"=")
		r.URL = before + p.Spec.From.Query + "=" + change(after)
	}
	for _, spec := range append([]signature.Spec{p.Spec}, p.Spec.Variants...) {
		if values := r.Header[http.CanonicalHeaderKey(spec.From.Header)]; len(values) == 1 && values[0] != "" {
			r.Header[http.CanonicalHeaderKey(spec.From.Header)] = []string{change(values[0])}
			break
		}
	}
	return r
}

func TestPresetsVerifyWhatTheirSendersSigned(t *testing.T) {
	t.Parallel()
	for _, v := range vectors() {
		t.Run(v.preset+" "+v.name, func(t *testing.T) {
			t.Parallel()
			s := scheme(t, v.preset)
			verify := func(r signature.Request, now time.Time, secrets ...signature.Secret) signature.Cause {
				id, cause := open(t, s, secrets...).Verify(r, now)
				if cause.IsZero() && id != v.id {
					t.Errorf("the id is %q, want %q", id, v.id)
				}
				return cause
			}
			right := signature.Secret{Text: v.secret}
			if cause := verify(v.request, v.at, right); !cause.IsZero() {
				t.Fatalf("the sender's request: %s", cause)
			}
			if cause := verify(forge(v.preset, v.request), v.at, right); cause.Kind != signature.WrongSignature {
				t.Errorf("a forged signature: %q", cause)
			}
			if cause := verify(changed(v), v.at, right); cause.Kind != signature.WrongSignature {
				t.Errorf("a changed request: %q", cause)
			}
			ended := v.at.Add(-time.Hour)
			if v.at.IsZero() {
				ended = time.Unix(1_700_000_000, 0)
			}
			now := ended.Add(time.Hour)
			other := signature.Secret{Text: otherSecret(v)}
			if cause := verify(v.request, now, other, signature.Secret{Text: v.secret, Ends: now.Add(time.Second)}); !cause.IsZero() {
				t.Errorf("a rotated secret during its overlap: %s", cause)
			}
			cause := verify(v.request, now, other, signature.Secret{Text: v.secret, Ends: ended})
			if diff := cmp.Diff(signature.Cause{Kind: signature.ExpiredSecret, Ended: ended}, cause); diff != "" {
				t.Errorf("a rotated secret after its overlap (-want +got):\n%s", diff)
			}
		})
	}
}

// changed has another event with the same signature.
func changed(v vector) signature.Request {
	r := clone(v.request)
	if len(r.Body) == 0 {
		r.URL = strings.Replace(r.URL, "rewards=10", "rewards=99", 1)
		return r
	}
	r.Body[len(r.Body)-4] ^= 1
	return r
}

// otherSecret is of the same form as a vector's.
func otherSecret(v vector) string {
	switch {
	case strings.HasPrefix(v.secret, "whsec_"):
		return "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	case strings.HasPrefix(v.secret, "whpk_"):
		return "whpk_" + "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	case v.preset == "discord":
		return "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
	case v.preset == "sendgrid":
		return "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
	default:
		return "another secret"
	}
}

func TestPresetsRefuseAnOldTimestamp(t *testing.T) {
	t.Parallel()
	// These senders sign no time that could be checked: docs/guide/senders says so.
	untimed := []string{"github", "levelplay", "linear", "shopify", "tebex", "twilio", "woocommerce", "xsolla"}
	for _, v := range vectors() {
		if v.at.IsZero() {
			if !slices.Contains(untimed, v.preset) {
				t.Errorf("%s should have a time", v.preset)
			}
			continue
		}
		t.Run(v.preset+" "+v.name, func(t *testing.T) {
			t.Parallel()
			p, _ := signature.Find(v.preset)
			verifier := open(t, scheme(t, v.preset), signature.Secret{Text: v.secret})
			for _, offset := range []time.Duration{p.Spec.Tolerance, -p.Spec.Tolerance} {
				if _, cause := verifier.Verify(v.request, v.at.Add(offset)); !cause.IsZero() {
					t.Errorf("%s: %s", offset, cause)
				}
			}
			_, cause := verifier.Verify(v.request, v.at.Add(p.Spec.Tolerance+4*time.Minute))
			if cause.Kind != signature.TimestampTooOld || cause.Off != p.Spec.Tolerance+4*time.Minute {
				t.Errorf("too old: %+v", cause)
			}
			if _, cause := verifier.Verify(v.request, v.at.Add(-p.Spec.Tolerance-time.Second)); cause.Kind != signature.TimestampTooNew {
				t.Errorf("too new: %+v", cause)
			}
		})
	}
}

func TestPresetsAreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	want := []string{
		"discord", "github", "levelplay", "linear", "paddle", "sendgrid", "shopify", "slack", "standard-webhooks",
		"stripe", "tebex", "twilio", "twitch", "woocommerce", "xsolla",
	}
	if diff := cmp.Diff(want, signature.Names()); diff != "" {
		t.Errorf("presets (-want +got):\n%s", diff)
	}
	tested := map[string]bool{}
	for _, v := range vectors() {
		tested[v.preset] = true
	}
	for _, name := range signature.Names() {
		p, _ := signature.Find(name)
		if !tested[name] {
			t.Errorf("%s has no vector", name)
		}
		if p.Title == "" || p.Definition == "" || len(p.Setup) == 0 || !strings.HasPrefix(p.Docs, "https://") || p.Secret.Name == "" || p.Sample.Method == "" {
			t.Errorf("%s lacks a text: %+v", name, p)
		}
		if !strings.Contains(p.Definition, "signature: "+name) {
			t.Errorf("the definition of %s names another preset", name)
		}
	}
}
