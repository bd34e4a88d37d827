package console_test

import (
	"net/url"
	"strings"
	"testing"
)

// Where the URL is all that a sender needs, the pages say so.
func TestKeylessWebhooksAreMarked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keyed := w.webhook("Keyed")
	keyless := w.webhookOf("{name: Keyless, auth: {}}")
	if n := w.admin.get("/webhooks/" + keyed.ID).Find("#keyless").Length(); n != 0 {
		t.Error("a webhook with an API key is marked as keyless")
	}
	if p := w.admin.get("/webhooks/" + keyless.ID); !strings.Contains(p.text("#keyless"), "anybody who has this webhook's URL can send") {
		t.Errorf("a keyless webhook is not marked: %s", p.text("article"))
	}
	if n := w.admin.get("/webhooks").Find("#webhooks .keyless").Length(); n != 1 {
		t.Errorf("the list marks %d webhooks, want 1", n)
	}
	// The form of a new webhook asks for a key unless the admin says otherwise.
	p := w.admin.get("/webhooks/new")
	if _, checked := p.Find("#api_key").Attr("checked"); !checked {
		t.Error("a new webhook has no API key by default")
	}
	p = w.admin.post("/webhooks", url.Values{"name": {"Third"}, "encryption": {"none"}})
	if address := p.header.Get("Location"); !strings.HasPrefix(address, "/webhooks/wh_") || w.admin.get(address).Find("#keyless").Length() != 1 {
		t.Errorf("created without a key: %d %s", p.status, p.header.Get("Location"))
	}
}
