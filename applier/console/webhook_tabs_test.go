package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// settingsFields are what a browser would post of the form about how requests look.
func settingsFields(p *page) url.Values {
	v := url.Values{}
	for _, n := range p.Find("#settings input, #settings select, #settings textarea").Nodes {
		s := p.FindNodes(n)
		name, _ := s.Attr("name")
		_, checked := s.Attr("checked")
		switch {
		case s.Is("select"):
			v.Set(name, s.Find("option[selected]").AttrOr("value", ""))
			if s.Find("option[selected]").Length() == 0 {
				v.Set(name, s.Find("option").First().AttrOr("value", ""))
			}
		case s.Is("textarea"):
			v.Set(name, strings.TrimPrefix(s.Text(), "\n"))
		case s.Is("[type=checkbox]"):
			if checked {
				v.Add(name, s.AttrOr("value", "on"))
			}
		default:
			v.Set(name, s.AttrOr("value", ""))
		}
	}
	return v
}

// An active webhook opens on how it does: by deliveries, dead letters and rejections.
func TestAWebhookOpensOnItsHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	w.user("alice@example.com")
	hook, other := w.webhook("Shop"), w.webhook("Other")
	for range 3 {
		w.settled(hook, `{"user":"alice@example.com","coins":5}`)
	}
	failed := w.settled(hook, `{"user":"alice@example.com"}`)
	w.settled(other, `{"user":"alice@example.com"}`)
	w.reject(hook, time.Now().Add(-time.Hour), "invalid_api_key", "the header x-api-key is missing")
	address := "/webhooks/" + hook.ID
	p := w.admin.get(address)
	tiles := strings.Join(strings.Fields(p.text("#health .tiles")), " ")
	for _, want := range []string{
		"Succeeded 75.00 % in 24 h; 75.00 % in 7 d", "success 3 in 24 h; 3 in 7 d", "failed 1 in 24 h; 1 in 7 d",
		"Rejected requests 5 in 24 h; 5 in 7 d",
	} {
		if !strings.Contains(tiles, want) {
			t.Errorf("the tiles say %q, and not %q", tiles, want)
		}
	}
	if got := p.text("#open-letters"); got != "1" || p.Find("#d-"+failed.String()).Length() != 1 {
		t.Errorf("%q open dead letters, and the latest deliveries are %s", got, p.text("table"))
	}
	for _, tab := range []string{"/deliveries", "/mapping", "/rejections", "/settings", "/versions"} {
		at := p.Find(`nav.tabs a[href$="`+tab+`"]`).AttrOr("href", "")
		if got := w.admin.get(at); got.status != http.StatusOK || got.Find(`nav.tabs a[aria-current="page"]`).AttrOr("href", "") != at {
			t.Errorf("the tab %q: %d", at, got.status)
		}
	}
	list := w.admin.get(address + "/deliveries?status=failed")
	if rows := list.Find("tbody tr"); rows.Length() != 1 || rows.AttrOr("id", "") != "d-"+failed.String() {
		t.Errorf("the failed deliveries are %q", list.text("table"))
	}
	draft := w.webhookOf(`{name: Draft, auth: {}}`)
	if p := w.admin.get("/webhooks/" + draft.ID); p.Find("#editor").Length() != 1 || p.text(`nav.tabs [aria-current="page"]`) != "Set up" {
		t.Errorf("a draft opens on %q", p.text("nav.tabs"))
	}
}

// The settings say until when an old key works, also after the page was loaded again.
func TestTheSettingsSayWhenAnOldKeyEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhook("Shop")
	address := "/webhooks/" + hook.ID
	if p := w.admin.get(address + "/settings"); !strings.Contains(p.text("#secrets"), "until it is replaced") || strings.Contains(p.text("#secrets"), "the old one") {
		t.Fatalf("before: %s", p.text("#secrets"))
	}
	form := url.Values{"revision": {w.admin.get(address+"/settings").Find("#settings [name=revision]").AttrOr("value", "")}, "overlap": {"24h"}}
	if p := w.admin.post(address+"/rotate-key", form); p.status != http.StatusOK || p.text("#api-key") == "" {
		t.Fatalf("%d %s", p.status, p.text("main"))
	}
	p := w.admin.get(address + "/settings")
	ends := w.reread(hook.ID).APIKeys[1].ExpiresAt.UTC().Format(time.RFC3339Nano)
	if p.Find(`#secrets time[datetime="`+ends+`"]`).Length() != 1 || !strings.Contains(p.text("#secrets"), "the old one works until") {
		t.Errorf("after: %s, want it to end at %s", p.text("#secrets"), ends)
	}
}

// How requests look is changed in the settings, after the difference was seen; nothing
// else is lost by it.
func TestTheSettingsChangeHowRequestsLook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhookOf(`{name: Shop, state: active, auth: {api_key: true, allow: [203.0.113.7]}, user: {by: email, path: user},
receive: {payload: form, answer: {status: 200, body: "{id}:OK"}}, mappings: [{currency: coins, operator: add, value: {path: coins}}]}`)
	address := "/webhooks/" + hook.ID + "/settings"
	form := settingsFields(w.admin.get(address))
	if p := w.admin.post(address, form); p.status != http.StatusSeeOther || w.reread(hook.ID).Version != 1 {
		t.Fatalf("the form as it was: %d %s", p.status, p.text("#review"))
	}
	wrong := w.admin.post(address, with(form, "rate", "often", "max_body", "64KiB"))
	if wrong.status != http.StatusUnprocessableEntity || !strings.Contains(wrong.text(`[id="receive.rate-error"]`), "Want a rate") {
		t.Errorf("%d: %s", wrong.status, wrong.text("#settings"))
	}
	form.Set("rate", "50/s")
	form["methods"] = []string{"POST", "PUT"}
	p := w.admin.post(address, form)
	if !strings.Contains(p.text("#review .added"), "rate: 50/s") || w.reread(hook.ID).Version != 1 {
		t.Fatalf("%d: %s", p.status, p.text("#review"))
	}
	if p = w.admin.post(address, settingsFields(p)); p.status != http.StatusSeeOther {
		t.Fatalf("%d: %s", p.status, p.text("main"))
	}
	now := w.reread(hook.ID)
	r := now.Receive
	if r.Rate != "50/s" || r.MaxBody != "64KiB" || len(r.Methods) != 2 || r.Payload != webhook.PayloadForm || *r.Answer.Body != "{id}:OK" || len(now.Auth.Allow) != 1 {
		t.Errorf("saved as %+v, %+v", r, now.Auth)
	}
}

// A version comes back after its difference was seen, and the list says who saved what.
func TestAVersionIsRestored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhook("Shop")
	address := "/webhooks/" + hook.ID
	p := w.admin.post(address, with(fields(w.admin.get(address+"/mapping")), "mappings.0.times", "7", "do", "save"))
	if p = w.admin.post(address, with(fields(p), "do", "save")); p.status != http.StatusSeeOther {
		t.Fatalf("%d %s", p.status, p.text("main"))
	}
	p = w.admin.get(address + "/versions?restore=1")
	if !strings.Contains(p.text("#versions tbody tr:first-child"), "anna") || !strings.Contains(p.text("#diff .removed"), `times: "7"`) {
		t.Errorf("the versions: %s", p.text("article"))
	}
	form := url.Values{"revision": {p.Find("#diff [name=revision]").AttrOr("value", "")}, "version": {"1"}}
	if p := w.signedIn("vera", admin.Viewer).post(address+"/restore", form); p.status != http.StatusForbidden {
		t.Errorf("a viewer restores: %d", p.status)
	}
	if p := w.admin.post(address+"/restore", form); p.status != http.StatusSeeOther {
		t.Fatalf("%d %s", p.status, p.text("main"))
	}
	if now := w.reread(hook.ID); now.Version != 3 || now.Mappings[0].Value.Times != "" || now.State != webhook.Active {
		t.Errorf("restored as version %d, %s: %+v", now.Version, now.State, now.Mappings)
	}
	if p := w.admin.post(address+"/restore", form); p.status != http.StatusConflict {
		t.Errorf("from an old page: %d", p.status)
	}
}
