package signature_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/signature"
)

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(s *signature.Spec)
		want   string
	}{
		"an algorithm": {
			func(s *signature.Spec) { s.Algorithm = "hmac-md5" },
			`algorithm: "hmac-md5" is not known; there are hmac-sha1, hmac-sha256, hmac-sha512, ed25519, ecdsa-p256-sha256, md5, sha1, sha256`,
		},
		"an encoding":    {func(s *signature.Spec) { s.Encoding = "" }, `encoding: "" is not known; there are hex and base64`},
		"no place":       {func(s *signature.Spec) { s.From = signature.Place{} }, "from: want exactly one place, such as {header: NAME} or {query: NAME}"},
		"two places":     {func(s *signature.Spec) { s.From.Query = "sig" }, "from: want exactly one place, such as {header: NAME} or {query: NAME}"},
		"a field":        {func(s *signature.Spec) { s.From = signature.Place{Field: "v1"} }, "from: want exactly one place, such as {header: NAME} or {query: NAME}"},
		"a field's name": {func(s *signature.Spec) { s.Timestamp = signature.Place{Field: "t="} }, "field: a name has no space, comma, semicolon or ="},
		"no tolerance":   {func(s *signature.Spec) { s.Tolerance = 0 }, "tolerance: a timestamp needs one, as 5m"},
		"a tolerance alone": {
			func(s *signature.Spec) { s.Timestamp, s.Signed = signature.Place{}, "{body}" },
			"tolerance: it is about a timestamp; say where that is",
		},
		"a prefix":     {func(s *signature.Spec) { s.Prefix = "a ,;" }, "prefix: it has every separator, so several signatures could not be told apart"},
		"no template":  {func(s *signature.Spec) { s.Signed = "" }, `signed: it is empty; most senders sign "{body}"`},
		"no secret":    {func(s *signature.Spec) { s.Algorithm = signature.MD5 }, "signed: md5 is no proof without {secret} in it"},
		"no event":     {func(s *signature.Spec) { s.Signed = "{timestamp}{id}" }, "signed: nothing of the event is in it, so anybody could change it; most senders sign {body}"},
		"no timestamp": {func(s *signature.Spec) { s.Signed = "{body}" }, "signed: {timestamp} is not in it, so anybody could write a new one; leave `timestamp` out"},
		"no id":        {func(s *signature.Spec) { s.Signed, s.ID = "{id}{timestamp}{body}", signature.Place{} }, "signed: it has {id}, but `id` does not say where that is"},
		"a timestamp of nowhere": {
			func(s *signature.Spec) { s.Timestamp, s.Tolerance = signature.Place{}, 0 },
			"signed: it has {timestamp}, but `timestamp` does not say where that is",
		},
		"a public secret": {
			func(s *signature.Spec) { s.Algorithm, s.Signed = signature.Ed25519, "{timestamp}{body}{secret}" },
			"signed: ed25519 has a public key, so {secret} proves nothing",
		},
		"a URL that has the signature": {
			func(s *signature.Spec) {
				s.From, s.Signed = signature.Place{Query: "signature"}, "{timestamp}{url}"
			},
			"signed: {url} has the signature itself in its query",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := plain()
			test.change(&spec)
			_, err := signature.Compile(spec)
			if err == nil {
				t.Fatal("it is accepted")
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

// A timestamp may be signed as a header of its own.
func TestCompileTakesATimestampSignedByName(t *testing.T) {
	t.Parallel()
	spec := plain()
	spec.Signed = "{header.X-TIMESTAMP}{body}"
	if _, err := signature.Compile(spec); err != nil {
		t.Error(err)
	}
}

func TestSchemesNameTheirHeaders(t *testing.T) {
	t.Parallel()
	s := scheme(t, "standard-webhooks")
	if diff := cmp.Diff([]string{"Webhook-Id", "Svix-Id"}, s.IDHeaders()); diff != "" {
		t.Errorf("ids (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Webhook-Signature", "Svix-Signature"}, s.SecretHeaders()); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestParseTemplateRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "it is empty",
		"{body":                   "a { has no }",
		"body}":                   "a } has no {",
		"{Body}":                  `"{Body}" is not known; there are {body}, {body.sha256}, {form}, {timestamp}, {id}, {url}, {method}, {secret}, {header.NAME} and {query.NAME}`,
		"{}":                      `"{}" is not known`,
		"{header}":                `"{header}" is not known`,
		"{query.}":                "{query.} names nothing",
		"{body}{body}":            "{body} stands there twice",
		"{header.a}{header.A}":    "{header.A} stands there twice",
		strings.Repeat("a", 1025): "it is longer than 1024 bytes",
	} {
		_, err := signature.ParseTemplate(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParseTemplate(f *testing.F) {
	for _, name := range signature.Names() {
		p, _ := signature.Find(name)
		f.Add(p.Spec.Signed)
	}
	f.Add("{{literal}} {header.x-a}{query.b c}")
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := signature.ParseTemplate(text)
		if err != nil {
			return
		}
		again, err := signature.ParseTemplate(parsed.String())
		if err != nil {
			t.Fatalf("%q becomes %q: %v", text, parsed, err)
		}
		if again.String() != parsed.String() {
			t.Errorf("%q, then %q", parsed, again)
		}
	})
}

// FuzzVerify has foreign bytes in every place. Nothing panics, and nothing verifies
// that was not signed.
func FuzzVerify(f *testing.F) {
	for _, v := range vectors() {
		for _, values := range v.request.Header {
			f.Add(values[0], v.request.URL, string(v.request.Body), v.secret)
		}
	}
	f.Add("t=1,v1=;ts=;h1=, v1, Signature ", "://?%zz", "", "whsec_")
	f.Fuzz(func(t *testing.T, header, url, body, secret string) {
		for _, name := range signature.Names() {
			s := scheme(t, name)
			r := signature.Request{Method: "POST", URL: url, Header: map[string][]string{"Content-Type": {header}}, Body: []byte(body)}
			p, _ := signature.Find(name)
			for _, spec := range append([]signature.Spec{p.Spec}, p.Spec.Variants...) {
				for _, place := range []signature.Place{spec.From, spec.Timestamp, spec.ID} {
					r.Header[canonical(place.Header)] = []string{header}
				}
			}
			v, err := s.Open([]signature.Secret{{Text: secret}, {Text: secret, Ends: noon}})
			if err != nil {
				continue
			}
			if _, cause := v.Verify(r, noon); len(cause.String()) > 300 {
				t.Errorf("%s: a cause of %d bytes", name, len(cause.String()))
			}
			again, err := s.Sign(r, secret, "evt_1", noon)
			if err != nil {
				continue
			}
			if _, cause := v.Verify(again, noon); !cause.IsZero() && !strings.Contains(cause.String(), "more than once") {
				t.Errorf("%s: what was signed here does not verify: %s", name, cause)
			}
		}
	})
}

func TestToleranceIsBothWays(t *testing.T) {
	t.Parallel()
	s := compiled(t, plain())
	r := signed(t, s, post("{}", nil))
	v := open(t, s, signature.Secret{Text: "secret"})
	for offset, want := range map[time.Duration]signature.Kind{
		5 * time.Minute: "", 5*time.Minute + 1: signature.TimestampTooOld, -5 * time.Minute: "", -5*time.Minute - 1: signature.TimestampTooNew,
	} {
		if _, cause := v.Verify(r, noon.Add(offset)); cause.Kind != want {
			t.Errorf("%s: %q, want %q", offset, cause.Kind, want)
		}
	}
}
