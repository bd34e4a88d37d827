package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/signature"
)

// setUpWithin is how long the way from nothing to an accepted request may take.
const setUpWithin = 2 * time.Minute

// Every sender that is known, from what `webhooks presets` prints to a balance: the
// sample is signed as the sender signs it, by `coinhook sign` where it has the key, and
// sent twice, and forged.
func TestSendersFromTheirPresetToABalance(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ada", "U0000000001", "771129655544643584", "+14155550100")
	for _, name := range signature.Names() {
		preset, _ := signature.Find(name)
		began := time.Now()
		s := newSender(t, w, preset)
		signed := s.signByCommand(t)
		s.wantTaken(t, signed)
		if took := time.Since(began); took > setUpWithin {
			t.Errorf("%s took %s", name, took)
		} else {
			t.Logf("%-18s %4d ms from its preset to an accepted request", name, took.Milliseconds())
		}
		s.wantForged(t, signed)
		s.wantTaken(t, signed)
	}
	eventually(t, func(context.Context) error {
		for user, want := range map[string][2]string{
			"ada": {"688", "71"}, "U0000000001": {"0", "1"}, "771129655544643584": {"500", "0"}, "+14155550100": {"10", "0"},
		} {
			if got := w.user(t, user).Balances; got["coins"] != want[0] || got["xp"] != want[1] {
				return fmt.Errorf("%s has %v, want coins and xp %v", user, got, want)
			}
		}
		return nil
	})
	w.wantNonePending(t)
	for _, d := range w.list(t, "--community", w.community) {
		if d.Status != "success" {
			t.Errorf("%s failed: %s, %s", d.Webhook, d.Reason, d.Detail)
		}
	}
}

// sender is a webhook of a preset, and the keys of its sender.
type sender struct {
	*hook
	preset  signature.Preset
	secret  string
	private func(message []byte) (signed string) // of senders with a public key
}

func newSender(t *testing.T, w *world, p signature.Preset) *sender {
	t.Helper()
	s := &sender{hook: &hook{world: w}, preset: p, secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text()))}
	if p.Secret.Public {
		s.makeKeys(t)
	}
	printed := w.coinhook(t, "webhooks", "presets", p.Name)
	if printed.code != 0 {
		t.Fatalf("webhooks presets %s: %+v", p.Name, printed)
	}
	s.apply(t, "community: "+w.community+"\n"+printed.stdout)
	w.queryWith(t, s.secret, &struct{}{}, "webhooks", "set-secret", s.ID, "--secret-stdin")
	eventually(t, func(context.Context) error {
		got := w.call(t, signature.Request{Method: s.method(), URL: s.url(), Body: []byte("{}")})
		if got.status != http.StatusUnauthorized {
			return fmt.Errorf("%s: an unsigned request gets %d: %s", p.Name, got.status, got.body)
		}
		return nil
	})
	return s
}

func (s *sender) makeKeys(t *testing.T) {
	t.Helper()
	if s.preset.Spec.Algorithm == signature.Ed25519 {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		s.secret = hex.EncodeToString(public)
		s.private = func(message []byte) string { return hex.EncodeToString(ed25519.Sign(private, message)) }
		return
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	s.secret = base64.StdEncoding.EncodeToString(public)
	s.private = func(message []byte) string {
		sum := sha256.Sum256(message)
		der, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(der)
	}
}

func (s *sender) method() string { return s.preset.Sample.Method }

func (s *sender) url() string { return s.IngressURL() + "/hooks/" + s.ID }

// signByCommand signs the sample that the command prints. Nobody but the sender has a
// private key.
func (s *sender) signByCommand(t *testing.T) signature.Request {
	t.Helper()
	if s.private != nil {
		return s.sign(t, s.preset)
	}
	sample := s.coinhook(t, "webhooks", "presets", s.preset.Name, "--sample")
	if sample.code != 0 {
		t.Fatalf("webhooks presets %s --sample: %+v", s.preset.Name, sample)
	}
	args := []string{"sign", s.ID, "-f", "-"}
	for name, value := range s.preset.Sample.Header {
		args = append(args, "-H", name+": "+value)
	}
	if s.preset.Sample.ContentType != "" {
		args = append(args, "-H", "Content-Type: "+s.preset.Sample.ContentType)
	}
	var signed struct {
		Method, URL, Body string
		Headers           map[string]string
	}
	s.queryWith(t, strings.TrimSuffix(sample.stdout, "\n"), &signed, args...)
	r := signature.Request{Method: signed.Method, URL: signed.URL, Header: http.Header{}, Body: []byte(signed.Body)}
	for name, value := range signed.Headers {
		http.Header(r.Header).Set(name, value)
	}
	return r
}

// sign returns the preset's sample as its sender signs it.
func (s *sender) sign(t *testing.T, p signature.Preset) signature.Request {
	t.Helper()
	r := signature.Request{Method: s.method(), URL: s.url(), Header: http.Header{}, Body: []byte(p.Sample.Body)}
	if p.Sample.Query != "" {
		r.URL += "?" + p.Sample.Query
	}
	if p.Sample.ContentType != "" {
		r.Header["Content-Type"] = []string{p.Sample.ContentType}
	}
	for name, value := range p.Sample.Header {
		http.Header(r.Header).Set(name, value)
	}
	if s.private != nil { // both sign {timestamp}{body}
		now := strconv.FormatInt(time.Now().Unix(), 10)
		http.Header(r.Header).Set(p.Spec.Timestamp.Header, now)
		http.Header(r.Header).Set(p.Spec.From.Header, s.private(append([]byte(now), r.Body...)))
		return r
	}
	scheme, err := signature.Compile(p.Spec)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := scheme.Sign(r, s.secret, rand.Text(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// wantForged changes what is paid, and keeps the signature.
func (s *sender) wantForged(t *testing.T, r signature.Request) {
	t.Helper()
	r.URL = strings.Replace(r.URL, "rewards=10", "rewards=1000", 1)
	if len(r.Body) > 0 {
		r.Body = bytes.Replace(r.Body, []byte("1"), []byte("2"), 1)
	}
	wantProblem(t, s.call(t, r), http.StatusUnauthorized, "invalid_signature")
}

func (s *sender) wantTaken(t *testing.T, r signature.Request) {
	t.Helper()
	got := s.call(t, r)
	want := http.StatusAccepted
	if answer := s.preset.Receive.Answer; answer != nil {
		want = answer.Status
	}
	if got.status != want {
		t.Errorf("%s: %d %s, want %d", s.preset.Name, got.status, got.body, want)
	}
	if s.preset.Name == "levelplay" && got.body != "0f8fad5bd9cb469fa16570867728950e:OK" {
		t.Errorf("LevelPlay gets %q", got.body)
	}
}

// call sends a request to the ingress as it is.
func (w *world) call(t *testing.T, r signature.Request) answer {
	t.Helper()
	address, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	return w.send(t, r.Method, address.RequestURI(), r.Header, bytes.NewReader(r.Body))
}
