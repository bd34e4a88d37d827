package console_test

import (
	"strings"
	"testing"
)

func TestTheConsoleWarnsOfCBC(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
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
	if p := w.admin.get("/webhooks/new"); !strings.Contains(p.text("#encryption-help"), "Prefer GCM") {
		t.Errorf("where encryption is chosen: %q", p.text("#encryption-help"))
	}
}
