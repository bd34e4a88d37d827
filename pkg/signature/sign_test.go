package signature_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/signature"
)

func canonical(name string) string { return http.CanonicalHeaderKey(name) }

// sampleOf is a preset's sample as a request.
func sampleOf(p signature.Preset) signature.Request {
	r := signature.Request{
		Method: p.Sample.Method, URL: "https://hooks.example.com/hooks/wh_test",
		Header: map[string][]string{"Content-Type": {p.Sample.ContentType}}, Body: []byte(p.Sample.Body),
	}
	if p.Sample.Query != "" {
		r.URL += "?" + p.Sample.Query
	}
	for name, value := range p.Sample.Header {
		r.Header[canonical(name)] = []string{value}
	}
	return r
}

func TestEverySampleCanBeSignedOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	for _, name := range signature.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := signature.Find(name)
			s := scheme(t, name)
			if p.Secret.Public {
				secret := otherSecret(vector{preset: name})
				if _, err := s.Sign(sampleOf(p), secret, "evt_1", noon); !errors.Is(err, signature.ErrPublicKey) {
					t.Errorf("signing with a public key: %v", err)
				}
				return
			}
			signed, err := s.Sign(sampleOf(p), sharedKey, "evt_1", noon)
			if err != nil {
				t.Fatal(err)
			}
			if _, cause := open(t, s, signature.Secret{Text: sharedKey}).Verify(signed, noon); !cause.IsZero() {
				t.Errorf("%+v: %s", signed, cause)
			}
		})
	}
	if _, err := scheme(t, "standard-webhooks").Sign(standard("Webhook", ""), publicKey, "", noon); !errors.Is(err, signature.ErrPublicKey) {
		t.Errorf("signing with whpk_: %v", err)
	}
}

// Sign leaves what it was given alone.
func TestSignDoesNotChangeItsRequest(t *testing.T) {
	t.Parallel()
	r := post("{}", map[string][]string{})
	if _, err := scheme(t, "twitch").Sign(r, "secret", "evt_1", noon); err != nil {
		t.Fatal(err)
	}
	if len(r.Header) != 0 {
		t.Errorf("headers %v", r.Header)
	}
}

func TestSignSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := post("", nil)
	_, err := scheme(t, "levelplay").Sign(r, "secret", "", noon)
	if err == nil || err.Error() != "the query parameter timestamp is missing, and this sender signs it" {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsSignedVerifiesAndWhatIsChangedDoesNot(t *testing.T) {
	t.Parallel()
	names := slices.DeleteFunc(signature.Names(), func(name string) bool {
		p, _ := signature.Find(name)
		return p.Secret.Public
	})
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(names).Draw(t, "preset")
		p, _ := signature.Find(name)
		s, err := signature.Compile(p.Spec)
		if err != nil {
			t.Fatal(err)
		}
		r := sampleOf(p)
		if r.Method == "POST" {
			r.Header["Content-Type"] = []string{"application/json"}
			r.Body = rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "body")
		}
		secret := rapid.StringMatching(`([A-Za-z0-9+/]{4}){6,10}`).Draw(t, "secret")
		at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "at"), 0)
		signed, err := s.Sign(r, secret, rapid.StringMatching(`[a-z0-9_-]{1,40}`).Draw(t, "id"), at)
		if err != nil {
			t.Fatal(err)
		}
		v, err := s.Open([]signature.Secret{{Text: secret}})
		if err != nil {
			t.Fatal(err)
		}
		if _, cause := v.Verify(signed, at); !cause.IsZero() {
			t.Fatalf("%s: %s", name, cause)
		}
		changed := clone(signed)
		if len(changed.Body) == 0 {
			changed.URL = changed.URL[:len("https://hooks.example.com/hooks/wh_test?appUserId=")] + "x" + changed.URL[len("https://hooks.example.com/hooks/wh_test?appUserId="):]
		} else {
			changed.Body[rapid.IntRange(0, len(changed.Body)-1).Draw(t, "place")] ^= rapid.ByteRange(1, 255).Draw(t, "bits")
		}
		if _, cause := v.Verify(changed, at); cause.Kind != signature.WrongSignature {
			t.Fatalf("%s: a changed request: %+v", name, cause)
		}
		if other, err := s.Open([]signature.Secret{{Text: secret + "QUJD"}}); err != nil {
			t.Fatal(err)
		} else if _, cause := other.Verify(signed, at); cause.Kind != signature.WrongSignature {
			t.Fatalf("%s: another secret: %+v", name, cause)
		}
	})
}

// BenchmarkRightAgainstWrong takes turns, so that a busy machine slows both alike, and
// compares medians: `go test -bench RightAgainstWrong -benchtime 10000x ./pkg/signature`.
func BenchmarkRightAgainstWrong(b *testing.B) {
	for _, preset := range []string{"github", "standard-webhooks"} {
		s := scheme(b, preset)
		p, _ := signature.Find(preset)
		right, err := s.Sign(sampleOf(p), sharedKey, "evt_1", noon)
		if err != nil {
			b.Fatal(err)
		}
		v := open(b, s, signature.Secret{Text: sharedKey})
		text := right.Header[canonical(p.Spec.From.Header)][0]
		for _, wrong := range []struct {
			where string
			at    int
		}{{"first", len(p.Spec.Prefix)}, {"last", len(text) - 3}} {
			forged := clone(right)
			digit := map[bool]string{true: "1", false: "0"}[text[wrong.at] == '0']
			forged.Header[canonical(p.Spec.From.Header)] = []string{text[:wrong.at] + digit + text[wrong.at+1:]}
			b.Run(preset+"/wrong at the "+wrong.where+" digit", func(b *testing.B) {
				var took [2][]time.Duration
				for b.Loop() {
					for i, r := range []signature.Request{right, forged} {
						start := time.Now()
						_, cause := v.Verify(r, noon)
						took[i] = append(took[i], time.Since(start))
						if cause.IsZero() != (i == 0) {
							b.Fatal(cause)
						}
					}
				}
				slices.Sort(took[0])
				slices.Sort(took[1])
				rightTook, wrongTook := took[0][len(took[0])/2], took[1][len(took[1])/2]
				b.ReportMetric(float64(rightTook.Nanoseconds()), "right-ns")
				b.ReportMetric(float64(wrongTook.Nanoseconds()), "wrong-ns")
				b.ReportMetric(float64(wrongTook)/float64(rightTook), "wrong/right")
			})
		}
	}
}
