package console_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func TestTheConsoleWarnsOfCBC(t *testing.T) {
	t.Parallel()
	w := newSealingWorld(t)
	for text, want := range map[string]string{
		"{name: Keyless, auth: {}, encryption: cbc}": "ask for an API key next to it",
		"{name: Keyed, encryption: cbc}":             "use gcm where the sender can",
		"{name: Sound, encryption: gcm}":             "",
		"{name: Plain}":                              "",
	} {
		p := w.admin.get("/webhooks/" + w.webhookOf(text).ID)
		if got := p.text("#cbc"); (got != "") != (want != "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if p := w.admin.get("/webhooks/new?sender=other"); !strings.Contains(p.text("#encryption-help"), "Prefer GCM") {
		t.Errorf("where encryption is chosen: %q", p.text("#encryption-help"))
	}
}

func TestTheConsoleEncryptsNoQuery(t *testing.T) {
	t.Parallel()
	w := newSealingWorld(t)
	hook := w.webhookOf("{name: Ads, receive: {methods: [GET], payload: query}}")
	form := url.Values{"revision": {strconv.FormatUint(hook.Revision, 10)}, "overlap": {"0"}, "mode": {"gcm"}}
	p := w.admin.post("/webhooks/"+hook.ID+"/encryption", form)
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("main"), "Nothing was changed: encryption is for bodies") {
		t.Errorf("%d %s", p.status, p.text("main"))
	}
	if now := w.reread(hook.ID); now.Encryption.IsOn() || now.Revision != hook.Revision {
		t.Errorf("encryption is %s in revision %d", now.Encryption, now.Revision)
	}
}

// TestAWebhookComesBackWithANewAESKey: the one of before went with it.
func TestAWebhookComesBackWithANewAESKey(t *testing.T) {
	t.Parallel()
	w := newSealingWorld(t)
	hook := w.webhookOf("{name: Shop, encryption: gcm}")
	address := "/webhooks/" + hook.ID
	revision := w.admin.get(address).Find("#editor [name=revision]").AttrOr("value", "")
	if p := w.admin.post(address+"/delete", url.Values{"revision": {revision}, "name": {"Shop"}}); p.status != http.StatusSeeOther {
		t.Fatalf("delete: %d %s", p.status, p.text("main"))
	}
	p := w.admin.post(address+"/undelete", nil)
	if key := p.text("#aes-key"); p.status != http.StatusOK || len(key) != 32 || !strings.Contains(p.text(".flash"), "Its AES keys went with it") {
		t.Errorf("undelete: %d, %q, %s", p.status, key, p.text(".flash"))
	}
	if now := w.reread(hook.ID); len(now.AESKeys) != 1 || now.AESKeys[0].Sealed == hook.AESKeys[0].Sealed || len(now.APIKeys) != 1 {
		t.Errorf("back with %d AES keys and %d API keys", len(now.AESKeys), len(now.APIKeys))
	}
}
