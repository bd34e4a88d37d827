package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// secretForm is what the form about a secret sends.
func (w *world) secretForm(id, of, text, overlap string) url.Values {
	revision := w.admin.get("/webhooks/"+id).Find("#editor [name=revision]").AttrOr("value", "")
	return url.Values{"revision": {revision}, "for": {of}, "secret": {text}, "overlap": {overlap}}
}

func TestTheConsoleSetsSecrets(t *testing.T) {
	t.Parallel()
	w := newSealingWorld(t)
	hook := w.webhookOf("{name: Shop, auth: {signature: github, basic: {username: a}}}")
	address := "/webhooks/" + hook.ID
	p := w.admin.get(address)
	if !strings.Contains(p.text("#no-secret"), "503") || !strings.Contains(p.text("#no-password"), "503") || p.text("#keyless") != "" || !strings.Contains(p.text("#curl"), "coinhook sign") {
		t.Errorf("it does not say what is missing: %q, %q", p.text("#no-secret"), p.text("#no-password"))
	}
	if p := w.admin.post(address+"/secret", w.secretForm(hook.ID, "signature", "hunter2", "24h")); p.status != http.StatusSeeOther {
		t.Fatalf("a given secret: %d %s", p.status, p.text("main"))
	}
	p = w.admin.post(address+"/secret", w.secretForm(hook.ID, "basic", "", "0"))
	made := p.text("#secret")
	if p.status != http.StatusOK || len(made) != 43 || p.text("#no-secret")+p.text("#no-password") != "" {
		t.Errorf("a made password: %d, %q", p.status, made)
	}
	if text := w.admin.get(address).text("main"); strings.Contains(text, made) || strings.Contains(text, "hunter2") {
		t.Error("the page shows a secret again")
	}
	if now := w.reread(hook.ID); len(now.SigningSecrets) != 1 || len(now.BasicPasswords) != 1 {
		t.Errorf("%d and %d secrets are kept", len(now.SigningSecrets), len(now.BasicPasswords))
	}
}

func TestTheConsoleRefusesSecrets(t *testing.T) {
	t.Parallel()
	w := newSealingWorld(t)
	discord, keyed := w.webhookOf("{name: Discord, auth: {signature: discord}}"), w.webhookOf("{name: Keyed}")
	for _, tt := range []struct{ about, id, of, text, overlap, want string }{
		{"no public key", discord.ID, "signature", "hunter2", "0", "want hex, base64 or PEM"},
		{"a key that cannot be made", discord.ID, "signature", "", "0", "paste the public key"},
		{"no password wanted", discord.ID, "basic", "x", "0", "asks for no such secret"},
		{"nothing wanted", keyed.ID, "signature", "x", "0", "asks for no such secret"},
		{"an overlap that is none", discord.ID, "signature", "x", "1y", "Choose how long"},
	} {
		p := w.admin.post("/webhooks/"+tt.id+"/secret", w.secretForm(tt.id, tt.of, tt.text, tt.overlap))
		if text := p.text("main"); p.status != http.StatusUnprocessableEntity || !strings.Contains(text, tt.want) || strings.Contains(text, "hunter2") {
			t.Errorf("%s: %d %s", tt.about, p.status, text)
		}
	}
}

// TestSavingTheFormKeepsAuthentication: the form shows a part of it, and must not open
// the webhook.
func TestSavingTheFormKeepsAuthentication(t *testing.T) {
	t.Parallel()
	w := newSealingWorld(t)
	hook := w.webhookOf("{name: Shop, auth: {signature: github, allow: [203.0.113.7]}, receive: {rate: 5/s}}")
	form := w.secretForm(hook.ID, "", "", "")
	for name, value := range map[string]string{"do": "save", "encryption": "none", "user_by": "email", "user_path": "mail"} {
		form.Set(name, value)
	}
	if p := w.admin.post("/webhooks/"+hook.ID, form); p.status != http.StatusSeeOther {
		t.Fatalf("save: %d %s", p.status, p.text("main"))
	}
	now := w.reread(hook.ID)
	if now.User == nil || now.Auth.Signature == nil || *now.Auth.Signature != (webhook.Signature{Preset: "github"}) || len(now.Auth.Allow) != 1 || now.Receive == nil {
		t.Errorf("saved as %+v", now.Definition)
	}
}
