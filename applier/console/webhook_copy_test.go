package console_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestAWebhookIsRenamedOnItsSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	w.webhook("Other")
	address := "/webhooks/" + shop.ID + "/name"
	form := func(name string) url.Values {
		return url.Values{"name": {name}, "revision": {strconv.FormatUint(w.reread(shop.ID).Revision, 10)}}
	}
	if p := w.admin.post(address, form("Other")); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("main"), "another webhook of this community has this name") {
		t.Errorf("to a name that is taken: %d %s", p.status, p.text("main"))
	}
	if p := w.admin.post(address, url.Values{"name": {"Store"}, "revision": {"1"}}); p.status != http.StatusConflict {
		t.Errorf("by an old page: %d", p.status)
	}
	p := w.admin.post(address, form(" Store "))
	if got := w.reread(shop.ID); p.status != http.StatusSeeOther || got.Name != "Store" || got.State != webhook.Active || !strings.Contains(w.admin.get("/webhooks/"+shop.ID).text("h1"), "Store") {
		t.Fatalf("%d, %+v", p.status, got)
	}
	if trail := w.admin.get("/trail").text("tbody"); !strings.Contains(trail, "rename webhook") || !strings.Contains(trail, "Shop") {
		t.Errorf("the trail says %q", trail)
	}
	if p := w.signedIn("vera", admin.Viewer).post(address, form("Mine")); p.status != http.StatusForbidden {
		t.Errorf("a viewer: %d", p.status)
	}
}

func TestAWebhookIsDuplicatedAsADraft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhookOf("{name: Shop, state: active, auth: {api_key: true}, user: {by: email, path: user}, mappings: [{currency: coins, operator: add, value: {path: coins}}]}")
	p := w.admin.post("/webhooks/"+shop.ID+"/duplicate", url.Values{"name": {"Shop copy"}})
	if p.status != http.StatusOK || !strings.Contains(p.text("main"), "chk_") {
		t.Fatalf("%d %s", p.status, p.text("main"))
	}
	twin, err := w.webhooks.Find(t.Context(), "default", "Shop copy")
	if err != nil || twin.ID == shop.ID || twin.State != webhook.Draft || len(twin.Mappings) != 1 {
		t.Errorf("%+v, %v", twin, err)
	}
	if again := w.admin.post("/webhooks/"+shop.ID+"/duplicate", url.Values{"name": {"Shop copy"}}); again.status != http.StatusUnprocessableEntity {
		t.Errorf("again: %d", again.status)
	}
	if settings := w.admin.get("/webhooks/" + shop.ID + "/settings"); !strings.Contains(settings.body, "/duplicate") || !strings.Contains(settings.body, "/name") {
		t.Error("the settings do not offer it")
	}
}
