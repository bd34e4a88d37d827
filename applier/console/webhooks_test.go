package console_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// fields are what a browser would post of the page's form.
func fields(p *page) url.Values {
	v := url.Values{}
	for _, n := range p.Find("#editor input, #editor select, #editor textarea").Nodes {
		s := p.FindNodes(n)
		name, ok := s.Attr("name")
		switch {
		case !ok:
		case s.Is("select"):
			chosen := s.Find("option[selected]")
			if chosen.Length() == 0 {
				chosen = s.Find("option").First()
			}
			v.Set(name, chosen.AttrOr("value", chosen.Text()))
		case s.Is("textarea"):
			v.Set(name, s.Text())
		case s.Is("[type=checkbox]"):
			if _, on := s.Attr("checked"); on {
				v.Set(name, "on")
			}
		default:
			v.Set(name, s.AttrOr("value", ""))
		}
	}
	return v
}

// with is the form with other values; pairs.
func with(v url.Values, pairs ...string) url.Values {
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

func (w *world) reread(id string) broker.Saved {
	w.t.Helper()
	saved, err := w.webhooks.Find(w.t.Context(), "", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return saved
}

// capture stores a sample, as an ingress does for a draft.
func (w *world) capture(hook broker.Saved, body string) delivery.ID {
	w.t.Helper()
	d := delivery.Delivery{ID: delivery.NewID(), WebhookID: hook.ID, Revision: hook.Revision, Body: []byte(body)}
	if err := w.publisher.Capture(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
	return d.ID
}

func TestAWebhookFromNothingToActive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	if p := w.admin.get("/webhooks"); p.Find(".empty").Length() != 1 || p.Find(`a[href="/webhooks/new"]`).Length() != 1 {
		t.Errorf("an empty list says %q", p.text("main"))
	}
	// 1 to 3: a draft, its key shown once, its URL and command.
	p := w.admin.post("/webhooks", url.Values{"name": {"Shop orders"}, "api_key": {"on"}, "encryption": {"none"}})
	key := p.text("#api-key")
	if p.status != http.StatusOK || key == "" || !strings.Contains(p.text("#curl"), key) || p.Find(`[data-copy="#api-key"]`).Length() != 1 {
		t.Fatalf("created: %d, key %q, %q", p.status, key, p.text("#curl"))
	}
	address := p.Find("[data-address]").AttrOr("data-address", "")
	id := strings.TrimPrefix(address, "/webhooks/")
	p = w.admin.get(address)
	if strings.Contains(p.body, key) || !strings.Contains(p.text("#curl"), "YOUR-API-KEY") || p.text("#hook-url") != "https://hooks.example.com/hooks/"+id {
		t.Errorf("a later page has the key, or not the URL: %q", p.text("#curl"))
	}
	// 4: waits until something is there.
	p = w.admin.get(address+"/sample?after=", "HX-Request", "true", "HX-Request-Type", "partial")
	if p.Find(`[hx-trigger="every 1s"]`).Length() != 1 {
		t.Errorf("it does not wait: %s", p.body)
	}
	first := w.capture(w.reread(id), `{"customer":{"email":"alice@example.com"},"order":{"coins":50,"note":"<script>alert(1)</script>"}}`)
	p = w.admin.get(address + "/sample?after=")
	if p.Find(`[hx-trigger="every 1s"]`).Length() != 0 || p.Find(`button[data-pick="order.coins"]`).Length() == 0 || p.Find("main script").Length() != 0 || p.header.Get("HX-Trigger") != "caught" {
		t.Errorf("what was caught is not shown: %s", p.text("main"))
	}
	if p = w.admin.get(address + "/sample?after=" + first.String()); p.Find(`[hx-trigger="every 1s"]`).Length() != 1 {
		t.Error("it does not wait for another one")
	}
	// 5 and 6: the user and a mapping; nothing is saved before it is asked for.
	p = w.admin.get(address)
	if got := p.Find(".likely button").First().AttrOr("data-pick", ""); got != "customer.email" {
		t.Errorf("the likeliest value is %q", got)
	}
	p = w.admin.post(address, with(fields(p), "user_path", "customer.email", "do", "add-mapping"))
	if p.Find("fieldset.mapping").Length() != 1 || w.reread(id).Version != 1 {
		t.Fatalf("a row: %s", p.text("#mappings"))
	}
	form := with(fields(p), "mappings.0.target", "currency:coins", "mappings.0.value", "order.coins")
	// 7: the preview.
	if p = w.admin.post(address+"/preview", form); !strings.Contains(p.text(".result.success"), "alice@example.com: Coins 0 → 50") {
		t.Errorf("the preview says %q", p.text("main"))
	}
	if p = w.admin.post(address+"/preview", with(form, "mappings.0.value", "order.gone")); !strings.Contains(p.text(".result.failed"), "Value missing in the payload missing_field") || p.Find(".advice").Length() != 1 {
		t.Errorf("the preview says %q", p.text("main"))
	}
	// 8: active, with what was typed.
	p = w.admin.post(address, with(form, "mappings.0.value", "order.coins", "do", "activate"))
	saved := w.reread(id)
	if p.status != http.StatusSeeOther || saved.State != webhook.Active || saved.User.Path != "customer.email" || saved.Mappings[0].Value.Path != "order.coins" {
		t.Fatalf("%d %s: %+v", p.status, p.text("main"), saved.Definition)
	}
	trail := w.admin.get("/trail")
	for _, what := range []string{"create webhook", "activate webhook"} {
		if !strings.Contains(trail.text("main"), what) {
			t.Errorf("the trail lacks %q", what)
		}
	}
	if strings.Contains(trail.body, key) {
		t.Error("the trail has the key")
	}
}

func TestAWrongDefinitionIsShownAtItsFieldsAndKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhook("Shop")
	form := fields(w.admin.get("/webhooks/" + hook.ID + "/mapping"))
	p := w.admin.post("/webhooks/"+hook.ID, with(form, "user_path", "a..b", "mappings.0.times", "1,5", "do", "save"))
	if p.status != http.StatusUnprocessableEntity || p.text(`[id="user.path-error"]`) == "" || p.text(`[id="mappings.0.times-error"]`) == "" {
		t.Errorf("%d: %s", p.status, p.text("#editor"))
	}
	for selector, want := range map[string]string{`[name=user_path]`: "a..b", `[name="mappings.0.times"]`: "1,5"} {
		if got := p.Find(selector).AttrOr("value", ""); got != want || p.Find(selector).AttrOr("aria-invalid", "") != "true" {
			t.Errorf("%s has %q", selector, got)
		}
	}
	for _, link := range p.Find("#problems a").Nodes { // each leads to a field that is there
		id := strings.TrimPrefix(p.FindNodes(link).AttrOr("href", ""), "#")
		if p.Find(`[id="`+id+`"]`).Length() != 1 {
			t.Errorf("there is no field %q", id)
		}
	}
	if p := w.admin.post("/webhooks", url.Values{"name": {"Shop"}, "encryption": {"none"}}); p.status != http.StatusUnprocessableEntity || p.text("#name-error") == "" {
		t.Errorf("a taken name: %d %s", p.status, p.text("main"))
	}
	if p := w.admin.post("/webhooks", url.Values{"name": {"Secret"}, "encryption": {"gcm"}}); p.status != http.StatusUnprocessableEntity || p.text("#encryption-error") == "" {
		t.Errorf("no master key: %d %s", p.status, p.text("main"))
	}
	if got := w.reread(hook.ID).Version; got != 1 {
		t.Errorf("version %d was saved", got)
	}
}

func TestAnActiveWebhookIsSavedOnceTheDifferenceWasSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	w.user("alice@example.com")
	hook := w.webhook("Shop")
	w.settled(hook, `{"user":"alice@example.com","coins":5}`)
	address := "/webhooks/" + hook.ID
	form := fields(w.admin.get(address + "/mapping"))
	p := w.admin.post(address, with(form, "mappings.0.times", "2", "do", "save"))
	if p.status != http.StatusOK || !strings.Contains(p.text("#review .added"), `times: "2"`) || w.reread(hook.ID).Version != 1 {
		t.Fatalf("%d: %s", p.status, p.text("#save"))
	}
	reviewed := fields(p)
	if p = w.admin.post(address, with(fields(p), "mappings.0.times", "3", "do", "save")); p.Find("#review").Length() != 1 || w.reread(hook.ID).Version != 1 {
		t.Error("something was saved that was not seen")
	}
	if p = w.admin.post(address, with(fields(p), "do", "backtest")); !strings.Contains(p.text("#backtest"), "1 different") || !strings.Contains(p.text("#backtest"), "coins +15") {
		t.Errorf("the backtest says %q", p.text("#backtest"))
	}
	if p = w.admin.post(address, with(reviewed, "do", "save")); p.status != http.StatusSeeOther || w.reread(hook.ID).Mappings[0].Value.Times != "2" {
		t.Errorf("%d: %s", p.status, p.text("main"))
	}
	versions := w.admin.get(address + "/versions")
	if versions.Find("#versions tbody tr").Length() != 2 || !strings.Contains(versions.text("#diff .added"), "times") {
		t.Errorf("versions: %s", versions.text("main"))
	}
	export := w.admin.get(address + "/export")
	if def, err := webhook.Parse([]byte(export.body)); err != nil || def.Name != "Shop" || !strings.Contains(export.header.Get("Content-Disposition"), ".yaml") {
		t.Errorf("export: %v %s", err, export.body)
	}
	list := w.admin.get("/webhooks")
	if row := list.text("#webhooks tbody"); !strings.Contains(row, "active") || !strings.Contains(row, "success") {
		t.Errorf("the list says %q", row)
	}
}

func TestSomebodySavedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhook("Shop")
	address := "/webhooks/" + hook.ID
	mine := fields(w.admin.get(address + "/mapping"))
	other := w.signedIn("bert", admin.Owner)
	p := other.post(address, with(fields(other.get(address+"/mapping")), "mappings.0.times", "7", "do", "save"))
	if p = other.post(address, with(fields(p), "do", "save")); p.status != http.StatusSeeOther {
		t.Fatalf("%d %s", p.status, p.text("main"))
	}
	p = w.admin.post(address, with(mine, "user_path", "me", "do", "save"))
	if p.status != http.StatusConflict || !strings.Contains(p.text("#conflict"), "bert saved version 2") || p.Find("[name=user_path]").AttrOr("value", "") != "me" {
		t.Fatalf("%d %s", p.status, p.text("#conflict"))
	}
	if got := p.Find("#conflict .diff"); got.Length() != 2 || !strings.Contains(got.First().Text(), `times: "7"`) || !strings.Contains(got.Last().Text(), "path: me") {
		t.Errorf("the differences are %q", got.Text())
	}
	if p = w.admin.post(address, with(fields(p), "do", "save")); p.Find("#review").Length() != 1 {
		t.Errorf("the second time it is not to be looked at: %d", p.status)
	}
	if p = w.admin.post(address, with(fields(p), "do", "save")); p.status != http.StatusSeeOther || w.reread(hook.ID).User.Path != "me" {
		t.Errorf("%d %s", p.status, p.text("main"))
	}
}

func TestWhatIsDoneToAWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhookOf(`{name: Shop, state: active, auth: {}, user: {by: email, path: user},
mappings: [{currency: coins, operator: add, value: {path: coins}}]}`)
	address := "/webhooks/" + hook.ID
	act := func(path string, pairs ...string) *page {
		t.Helper()
		revision := w.admin.get(address+"/settings").Find("#settings [name=revision]").AttrOr("value", "")
		return w.admin.post(address+path, with(url.Values{"revision": {revision}}, pairs...))
	}
	if p := act("/state", "state", "disabled"); p.status != http.StatusSeeOther || w.reread(hook.ID).State != webhook.Disabled {
		t.Errorf("disable: %d", p.status)
	}
	if p := w.admin.post(address+"/state", url.Values{"revision": {strconv.FormatUint(hook.Revision, 10)}, "state": {"active"}}); p.status != http.StatusConflict {
		t.Errorf("an old page enables it: %d", p.status)
	}
	if p := act("/state", "state", "active"); p.status != http.StatusSeeOther || w.reread(hook.ID).State != webhook.Active {
		t.Errorf("enable: %d", p.status)
	}
	pauseInConsole(t, w, hook.ID, act)
	if p := act("/rotate-key", "overlap", "24h"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("rotate no key: %d", p.status)
	}
	p := act("/settings", "api_key", "on")
	p = act("/settings", "api_key", "on", "reviewed", p.Find("#settings [name=reviewed]").AttrOr("value", ""))
	key := p.text("#api-key")
	if p = act("/rotate-key", "overlap", "24h"); key == "" || p.text("#api-key") == "" || p.text("#api-key") == key || len(w.reread(hook.ID).APIKeys) != 2 {
		t.Errorf("rotate: %d, %q then %q", p.status, key, p.text("#api-key"))
	}
	if p := act("/delete", "name", "shop"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("delete without being sure: %d", p.status)
	}
	if p := act("/delete", "name", "Shop"); p.status != http.StatusSeeOther || w.admin.get(address).status != http.StatusNotFound {
		t.Errorf("delete: %d", p.status)
	}
	undelete := address + "/undelete"
	if p := w.admin.get("/webhooks"); p.Find(`#deleted form[action="`+undelete+`"]`).Length() != 1 {
		t.Errorf("the deleted webhook is not offered: %q", p.text("main"))
	}
	for _, want := range []int{http.StatusSeeOther, http.StatusConflict} { // it comes back once
		if p := w.admin.post(undelete, nil); p.status != want || w.admin.get(address).status != http.StatusOK {
			t.Errorf("undelete: %d, want %d", p.status, want)
		}
	}
	if n := len(w.reread(hook.ID).APIKeys); n != 2 {
		t.Errorf("%d API keys after it came back, want 2", n)
	}
}

// pauseInConsole pauses the active webhook and resumes it.
func pauseInConsole(t *testing.T, w *world, id string, act func(path string, pairs ...string) *page) {
	t.Helper()
	offers := func(state string, want bool) {
		t.Helper()
		p := w.admin.get("/webhooks/" + id + "/settings")
		if got := p.Find(`#manage button[name=state][value=` + state + `]`).Length(); (got == 1) != want {
			t.Errorf("the page of a webhook that is %s has %d buttons for %s", w.reread(id).State, got, state)
		}
	}
	offers("paused", true)
	offers("active", false)
	if p := act("/state", "state", "paused"); p.status != http.StatusSeeOther || w.reread(id).State != webhook.Paused {
		t.Errorf("pause: %d", p.status)
	}
	offers("paused", false)
	offers("active", true)
	offers("disabled", true)
	for _, path := range []string{"/webhooks", "/webhooks/" + id, "/webhooks/" + id + "/versions"} {
		if badge := w.admin.get(path).Find(".state.paused").First(); strings.Join(strings.Fields(badge.Text()), " ") != "‖ paused" {
			t.Errorf("%s shows the state as %q", path, badge.Text())
		}
	}
	if p := act("/state", "state", "active"); p.status != http.StatusSeeOther || w.reread(id).State != webhook.Active {
		t.Errorf("resume: %d", p.status)
	}
	if p := act("/state", "state", "disabled"); p.status != http.StatusSeeOther {
		t.Errorf("disable: %d", p.status)
	}
	if p := act("/state", "state", "paused"); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("main"), "Enable it first") {
		t.Errorf("pause a disabled one: %d %s", p.status, p.text("main"))
	}
	if p := act("/state", "state", "active"); p.status != http.StatusSeeOther {
		t.Errorf("enable: %d", p.status)
	}
	trail := w.admin.get("/trail").text("#trail")
	for _, what := range []string{"pause webhook", "resume webhook"} {
		if strings.Count(trail, what) != 1 {
			t.Errorf("the audit trail does not have %q once: %s", what, trail)
		}
	}
}

func TestAViewerLooksAtWebhooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhook("Shop")
	viewer := w.signedIn("vera", admin.Viewer)
	for _, path := range []string{"/webhooks", "/webhooks/" + hook.ID, "/webhooks/" + hook.ID + "/settings", "/webhooks/" + hook.ID + "/mapping", "/webhooks/" + hook.ID + "/versions", "/webhooks/" + hook.ID + "/sample"} {
		p := viewer.get(path)
		if p.status != http.StatusOK || p.Find("main button[name], main form[method=post] button:not([type=button])").Length() != 0 || p.Find("main [data-pick]").Length() != 0 {
			t.Errorf("%s: %d, with what changes things", path, p.status)
		}
	}
	draft := w.webhookOf("{name: A draft, auth: {api_key: true}}")
	if p := viewer.get("/webhooks/" + draft.ID); p.Find("[data-copy]").Length() == 0 || p.Find("fieldset[disabled] [data-copy]").Length() != 0 {
		t.Error("a viewer cannot copy the URL")
	}
	if p := viewer.post("/webhooks/"+hook.ID+"/delete", url.Values{"name": {"Shop"}}); p.status != http.StatusForbidden {
		t.Errorf("a viewer deletes: %d", p.status)
	}
}
