package console_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestANewWebhookBeginsWithWhoSends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.admin.get("/webhooks/new")
	for _, name := range append(signature.Names(), "other") {
		if p.Find(`.senders a[href="/webhooks/new?sender=`+name+`"] small`).Length() != 1 {
			t.Errorf("%s is not to be chosen", name)
		}
	}
	if p.Find("form#new-webhook").Length() != 0 {
		t.Error("the form is there before the sender is known")
	}
	if p := w.admin.get("/webhooks/new?sender=nobody"); p.status != http.StatusNotFound {
		t.Errorf("an unknown sender: %d", p.status)
	}
	if p := w.admin.post("/webhooks", url.Values{"sender": {"nobody"}, "name": {"X"}}); p.status != http.StatusNotFound {
		t.Errorf("an unknown sender: %d", p.status)
	}
	if p := w.signedIn("vera", admin.Viewer).get("/webhooks/new?sender=github"); p.Find("#new-webhook, .senders").Length() != 0 {
		t.Error("a viewer is asked who sends")
	}
}

// The form has chosen the community of the address, for each sender.
func TestANewWebhookIsOfTheCommunityOfTheAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin.post("/settings/communities", url.Values{"name": {"north"}})
	for _, sender := range []string{"github", "other"} {
		at := "/webhooks/new?sender=" + sender + "&community=north"
		if w.admin.get("/webhooks/new?community=north").Find(`.senders a[href="`+at+`"]`).Length() != 1 {
			t.Errorf("nothing leads to %s", at)
		}
		p := w.admin.get(at)
		if got := p.Find("#community option[selected]").AttrOr("value", ""); got != "north" {
			t.Errorf("%s chooses %q", at, got)
		}
		if p.Find(`a[href="/webhooks/new?community=north"]`).Length() != 1 {
			t.Error("to choose another sender is to lose the community")
		}
	}
	if p := w.admin.get("/webhooks/new?sender=other&community=nort"); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("main"), "did you mean “north”?") {
		t.Errorf("no such community: %d %s", p.status, p.text("main"))
	}
}

// Each sender that is known: the form is filled, the draft has the definition that the
// command prints, its sample gives a preview, and nothing is lost until it is active.
func TestASenderFillsANewWebhook(t *testing.T) {
	t.Parallel()
	w := newSealingWorld(t)
	for _, name := range []string{"ada", "U0000000001", "771129655544643584", "+14155550100"} {
		if _, err := w.Store.AddUser(t.Context(), "default", postgres.NewUser{Email: strings.Trim(name, "+") + "@example.com", Username: name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range signature.Names() {
		t.Run(name, func(t *testing.T) {
			preset, _ := signature.Find(name)
			want, err := webhook.Parse([]byte(preset.Definition))
			if err != nil {
				t.Fatal(err)
			}
			p := w.admin.get("/webhooks/new?sender=" + name)
			if got := p.Find("#name").AttrOr("value", ""); got != want.Name {
				t.Errorf("the name is %q, want %q", got, want.Name)
			}
			if got := p.Find("#definition").Text(); got != preset.Definition {
				t.Errorf("the definition is %q", got)
			}
			p = w.admin.post("/webhooks", url.Values{"sender": {name}, "name": {want.Name}})
			address := p.header.Get("Location")
			if preset.Secret.Chosen {
				address = p.Find("[data-address]").AttrOr("data-address", "")
				if p.status != http.StatusOK || len(p.text("#secret")) < 32 {
					t.Errorf("no secret was made: %d %s", p.status, p.text("main"))
				}
			}
			id := strings.TrimPrefix(address, "/webhooks/")
			p = w.admin.get(address)
			if got := p.Find("#setup li").Length(); got != len(preset.Setup) {
				t.Errorf("%d steps at the sender, want %d", got, len(preset.Setup))
			}
			if !strings.Contains(p.text("#preview"), "✓") || !strings.Contains(p.text("#sample"), "This is an example of what "+preset.Title+" sends") {
				t.Errorf("the example is not previewed: %s %s", p.text("#preview"), p.text("#sample"))
			}
			w.setSecret(t, address, exampleSecret(t, preset))
			if p = w.admin.get(address); p.Find("#no-secret").Length() != 0 || len(w.reread(id).SigningSecrets) == 0 {
				t.Error("the secret was not set")
			}
			if p = w.admin.post(address, with(fields(p), "do", "activate")); p.status != http.StatusSeeOther {
				t.Fatalf("activate: %d %s", p.status, p.text("#problems"))
			}
			if diff := cmp.Diff(want, w.reread(id).Definition, cmp.AllowUnexported(webhook.Scalar{})); diff != "" {
				t.Errorf("it differs from what the command prints (-command +console):\n%s", diff)
			}
		})
	}
}

// setSecret pastes the sender's secret into the draft's page.
func (w *world) setSecret(t *testing.T, address, secret string) {
	t.Helper()
	form := url.Values{"secret": {secret}}
	inputs := w.admin.get(address).Find("form#set-secret input")
	for _, n := range inputs.Nodes {
		input := inputs.FilterNodes(n)
		form.Set(input.AttrOr("name", ""), input.AttrOr("value", ""))
	}
	if p := w.admin.post(address+"/secret", form); p.status != http.StatusSeeOther || p.header.Get("Location") != address {
		t.Errorf("set the secret: %d %q %s", p.status, p.header.Get("Location"), p.text("main"))
	}
}

// exampleSecret is one in the form in which the sender shows it.
func exampleSecret(t *testing.T, p signature.Preset) string {
	t.Helper()
	switch p.Spec.Algorithm {
	case signature.Ed25519:
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(public)
	case signature.ECDSAP256:
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(public)
	default:
		return "whsec_" + base64.StdEncoding.EncodeToString([]byte(rand.Text()))
	}
}

// A secret that the sender cannot have shown is refused before anything is created.
func TestAWrongSecretCreatesNothing(t *testing.T) {
	t.Parallel()
	w := newSealingWorld(t)
	p := w.admin.post("/webhooks", url.Values{"sender": {"discord"}, "name": {"Discord"}, "secret": {"qwertz-asdf"}})
	if p.status != http.StatusUnprocessableEntity || p.text("#secret-error") == "" || strings.Contains(p.body, "qwertz-asdf") {
		t.Errorf("%d: %s", p.status, p.text("main"))
	}
	if got := p.Find("#name").AttrOr("value", ""); got != "Discord" || p.Find(`[name=sender]`).AttrOr("value", "") != "discord" {
		t.Errorf("the form forgets: %q", got)
	}
	if all, err := w.webhooks.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("%d webhooks, %v", len(all), err)
	}
}

// A request that was really sent takes the place of the example.
func TestASampleReplacesTheExample(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := w.admin.post("/webhooks", url.Values{"sender": {"linear"}, "name": {"Linear"}}).header.Get("Location")
	id := strings.TrimPrefix(address, "/webhooks/")
	if p := w.admin.get(address + "/sample?after=" + "00000000-0000-0000-0000-000000000000"); !strings.Contains(p.text(".waiting"), "Waiting for the first sample") {
		t.Errorf("it says %q", p.text("main"))
	}
	w.capture(w.reread(id), `{"mine": 1}`)
	if p := w.admin.get(address); p.Find(`#sample [data-pick="mine"]`).Length() == 0 || strings.Contains(p.text("#sample"), "example") {
		t.Errorf("the sample: %s", p.text("#sample"))
	}
}

// A form that a draft for JSON captures is called one, with the setting that reads it.
func TestACapturedFormIsCalledOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := w.admin.post("/webhooks", url.Values{"name": {"Donations"}, "encryption": {"none"}}).header.Get("Location")
	w.capture(w.reread(strings.TrimPrefix(address, "/webhooks/")), "data=%7B%22amount%22%3A%223.00%22%7D")
	if got := w.admin.get(address).text("#sample .problem"); !strings.Contains(got, "It looks like a form: set receive.payload to form.") {
		t.Errorf("it says %q", got)
	}
}
