package webhooks_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func (d *desk) applyAuth(tb testing.TB, auth webhook.Auth) webhooks.Saved {
	tb.Helper()
	saved, err := d.Apply(tb.Context(), webhook.Definition{Name: "Shop", Community: "default", State: webhook.Draft, Encryption: webhook.NoEncryption, Auth: auth})
	if err != nil {
		tb.Fatal(err)
	}
	return saved
}

func (d *desk) setSecret(tb testing.TB, of webhooks.SecretOf, text string, overlap time.Duration) webhooks.Saved {
	tb.Helper()
	saved, err := d.SetSecret(tb.Context(), *d.kept.saved, of, text, overlap)
	if err != nil {
		tb.Fatal(err)
	}
	return saved
}

// texts are the secrets valid now, newest first.
func (d *desk) texts(tb testing.TB, purpose secret.Purpose) []string {
	tb.Helper()
	kept := d.kept.saved.SigningSecrets
	if purpose == secret.BasicPassword {
		kept = d.kept.saved.BasicPasswords
	}
	var all []string
	for _, k := range kept {
		text, err := d.master.OpenText(purpose, d.kept.saved.ID, k)
		if err != nil {
			tb.Fatal(err)
		}
		if k.Valid(d.now) {
			all = append(all, text)
		}
	}
	return all
}

func (d *desk) wantTexts(tb testing.TB, purpose secret.Purpose, want ...string) {
	tb.Helper()
	if diff := cmp.Diff(want, d.texts(tb, purpose)); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", purpose, diff)
	}
}

func by(preset string) webhook.Auth {
	return webhook.Auth{Signature: &webhook.Signature{Preset: preset}}
}

func TestSetSecretReplacesWithAnOverlap(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if saved := d.applyAuth(t, by("github")); len(webhooks.Missing(saved.Record)) != 1 {
		t.Error("nobody is told that the secret is missing")
	}
	first := d.setSecret(t, webhooks.OfSignature, "one", time.Hour)
	if first.Secret != "" || first.Change != webhooks.Updated || len(webhooks.Missing(first.Record)) != 0 {
		t.Errorf("%+v", first)
	}
	d.setSecret(t, webhooks.OfSignature, "two", time.Hour)
	d.wantTexts(t, secret.SigningSecret, "two", "one")
	if same := d.setSecret(t, webhooks.OfSignature, "two", time.Hour); same.Change != webhooks.Unchanged {
		t.Error("the same secret is another one")
	}
	d.setSecret(t, webhooks.OfSignature, "two", 0)
	d.wantTexts(t, secret.SigningSecret, "two")
	for _, text := range []string{"3", "4", "5", "6", "7"} {
		d.setSecret(t, webhooks.OfSignature, text, time.Hour)
	}
	d.wantTexts(t, secret.SigningSecret, "7", "6", "5", "4", "3")
	d.now = d.now.Add(time.Hour)
	d.wantTexts(t, secret.SigningSecret, "7")
	if n := len(d.kept.saved.SigningSecrets); n != 5 {
		t.Errorf("%d are kept", n)
	}
}

// TestSecretsEndWithWhatAsksForThem: one that was switched off must not come back to
// life, and one of another sender is of no use.
func TestSecretsEndWithWhatAsksForThem(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	basic := webhook.Auth{Basic: &webhook.Basic{Username: "shop"}}
	both := webhook.Auth{Signature: by("github").Signature, Basic: basic.Basic, APIKey: true}
	d.applyAuth(t, both)
	d.setSecret(t, webhooks.OfSignature, "s", 0)
	d.setSecret(t, webhooks.OfBasic, "p", 0)
	renamed := both
	renamed.Basic = &webhook.Basic{Username: "store"}
	d.applyAuth(t, renamed)
	d.wantTexts(t, secret.SigningSecret, "s")
	d.wantTexts(t, secret.BasicPassword, "p")
	d.applyAuth(t, webhook.Auth{Implied: true, APIKey: true}) // says nothing of auth
	d.wantTexts(t, secret.SigningSecret, "s")
	d.applyAuth(t, basic)
	d.wantTexts(t, secret.SigningSecret)
	d.wantTexts(t, secret.BasicPassword, "p")
	d.applyAuth(t, by("github"))
	d.wantTexts(t, secret.BasicPassword)
	d.setSecret(t, webhooks.OfSignature, "s", 0)
	if saved := d.applyAuth(t, by("stripe")); len(saved.SigningSecrets) != 0 || len(webhooks.Missing(saved.Record)) != 1 {
		t.Errorf("GitHub's secret is kept for Stripe: %+v", saved.SigningSecrets)
	}
}

func TestSetSecretMakesOne(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		auth webhook.Auth
		of   webhooks.SecretOf
		want string // how it begins
	}{
		"github":   {by("github"), webhooks.OfSignature, ""},
		"standard": {by("standard-webhooks"), webhooks.OfSignature, "whsec_"},
		"basic":    {webhook.Auth{Basic: &webhook.Basic{Username: "a"}}, webhooks.OfBasic, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.applyAuth(t, tt.auth)
			one, two := d.setSecret(t, tt.of, "", 0), d.setSecret(t, tt.of, "", 0)
			if len(one.Secret) < 43 || !strings.HasPrefix(one.Secret, tt.want) || one.Secret == two.Secret {
				t.Errorf("made %q and %q", one.Secret, two.Secret)
			}
			purpose := secret.SigningSecret
			if tt.of == webhooks.OfBasic {
				purpose = secret.BasicPassword
			}
			d.wantTexts(t, purpose, two.Secret)
		})
	}
}

func TestSetSecretRefuses(t *testing.T) {
	t.Parallel()
	basic := webhook.Auth{Basic: &webhook.Basic{Username: "a"}}
	for name, tt := range map[string]struct {
		auth webhook.Auth
		of   webhooks.SecretOf
		text string
		want string
	}{
		"nothing asks for one":        {webhook.Auth{APIKey: true}, "", "x", "neither a signature nor basic"},
		"no signature":                {basic, webhooks.OfSignature, "x", "basic authentication and no signature"},
		"no password":                 {by("github"), webhooks.OfBasic, "x", "a signature and no basic"},
		"a public key cannot be made": {by("discord"), webhooks.OfSignature, "", "give its public key"},
		"no public key":               {by("discord"), webhooks.OfSignature, "hunter2", "not a public key of ed25519: want hex"},
		"no base64":                   {by("standard-webhooks"), webhooks.OfSignature, "whsec_%%", `not base64`},
		"a password of two lines":     {basic, webhooks.OfBasic, "a\nb", "no control characters"},
		"a long password":             {basic, webhooks.OfBasic, strings.Repeat("x", 201), "1 to 200 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.applyAuth(t, tt.auth)
			_, err := d.SetSecret(t.Context(), *d.kept.saved, tt.of, tt.text, 0)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.text != "" && strings.Contains(err.Error(), "hunter2") || d.kept.saves != 1 {
				t.Errorf("%v after %d saves, want %q", err, d.kept.saves, tt.want)
			}
		})
	}
	d := newDesk(t)
	d.applyAuth(t, by("github"))
	keyless := webhooks.New(&d.kept, nothingMore, func() time.Time { return d.now }, secret.MasterKey{})
	if _, err := keyless.SetSecret(t.Context(), *d.kept.saved, webhooks.OfSignature, "x", 0); !errors.Is(err, secret.ErrNoMasterKey) {
		t.Errorf("without the master key: %v", err)
	}
}

// TestRotationAndDeletionCoverSigningSecrets: no version keeps what the old key sealed,
// and a deleted webhook keeps nothing.
func TestRotationAndDeletionCoverSigningSecrets(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	defs := broker.NewDefinitions(server.ConnectSetUp())
	now := func() time.Time { return time.Now().UTC() }
	before := webhooks.New(defs, nothingMore, now, masterKey(t, 'o'))
	def := webhook.Definition{Name: "Shop", Community: "default", State: webhook.Draft, Encryption: webhook.NoEncryption}
	def.Auth = webhook.Auth{Signature: &webhook.Signature{Preset: "github"}, Basic: &webhook.Basic{Username: "a"}}
	saved, err := before.Apply(t.Context(), def)
	for _, text := range []string{"one", "two"} {
		for _, of := range []webhooks.SecretOf{webhooks.OfSignature, webhooks.OfBasic} {
			if err == nil {
				saved, err = before.SetSecret(t.Context(), saved.Saved, of, text, time.Hour)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	has := func(b byte) bool {
		messages, _ := server.BucketMessages()
		return slices.ContainsFunc(messages, func(m []byte) bool { return bytes.Contains(m, []byte(sealedUnder(t, b))) })
	}
	done, err := webhooks.New(defs, nothingMore, now, masterKey(t, 'n', 'o')).RotateSecrets(t.Context())
	// Versions 2 to 5 have 1, 2, 3 and 4 of them; the newest is written by itself.
	if err != nil || done.Secrets < 1+2+3 || len(done.Left) != 0 || has('o') || !has('n') {
		t.Fatalf("rotated %+v, %v; under the old key: %t", done, err, has('o'))
	}
	after := webhooks.New(defs, nothingMore, now, masterKey(t, 'n'))
	w, err := after.Find(t.Context(), "default", "Shop")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := after.NewestSecret(w); err != nil || text != "two" {
		t.Errorf("the newest secret is %q, %v", text, err)
	}
	if err := after.Delete(t.Context(), w); err != nil || has('n') {
		t.Errorf("deleted: %v; secrets left: %t", err, has('n'))
	}
	deleted, err := defs.Get(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	back, err := after.Undelete(t.Context(), deleted)
	if err != nil || len(webhooks.Missing(back.Record)) != 2 {
		t.Errorf("undeleted %+v, %v: its secrets are gone", back.Record, err)
	}
}
