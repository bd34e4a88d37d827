package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
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
	p := w.admin.get("/webhooks/new?sender=other")
	if _, checked := p.Find("#api_key").Attr("checked"); !checked {
		t.Error("a new webhook has no API key by default")
	}
	p = w.admin.post("/webhooks", url.Values{"name": {"Third"}, "encryption": {"none"}})
	if address := p.header.Get("Location"); !strings.HasPrefix(address, "/webhooks/wh_") || w.admin.get(address).Find("#keyless").Length() != 1 {
		t.Errorf("created without a key: %d %s", p.status, p.header.Get("Location"))
	}
}

// sweep opens each page that leads from the first ones, and returns what was
// answered by address.
func (b *browser) sweep(first ...string) map[string]*page {
	b.w.t.Helper()
	seen := map[string]*page{}
	for queue := first; len(queue) > 0; queue = queue[1:] {
		at, _, _ := strings.Cut(queue[0], "#")
		if seen[at] != nil || len(seen) > 500 || !strings.HasPrefix(at, "/") || strings.HasPrefix(at, "/static/") || strings.HasPrefix(at, "/live") {
			continue
		}
		p := b.get(at)
		seen[at] = p
		for _, attribute := range []string{"href", "hx-get", "data-address"} {
			p.Find("[" + attribute + "]").Each(func(_ int, s *goquery.Selection) { queue = append(queue, s.AttrOr(attribute, "")) })
		}
	}
	return seen
}

// A viewer sees no keyless webhook's id: not in a page, an address, a header or a
// file. All that the pages lead to works with what stands in its place.
func TestViewersNeverSeeAKeylessID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	const rest = "user: {by: email, path: user}, mappings: [{currency: coins, operator: add, value: {path: coins}}]}"
	keyed := w.webhook("Keyed")
	keyless := w.webhookOf("{name: Keyless, state: active, auth: {}, " + rest)
	draft := w.webhookOf("{name: Draft, auth: {}, " + rest)
	deleted := w.webhookOf("{name: Deleted, state: active, auth: {}, " + rest)
	sample := w.capture(draft, `{"user":"alice@example.com","callback":"https://hooks.example.com/hooks/`+draft.ID+`"}`)
	w.settle()
	var sent []string
	for _, hook := range []broker.Saved{keyed, keyless, deleted} {
		for _, body := range []string{`{"user":"alice@example.com","coins":5}`, `{"user":"nobody@example.com","coins":5}`, `{"user":1,"hook":"` + hook.ID + `"}`} {
			sent = append(sent, w.settled(hook, body).String())
		}
	}
	if err := w.webhooks.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	if _, err := w.webhooks.Pause(t.Context(), w.reread(keyless.ID)); err != nil {
		t.Fatal(err)
	}
	postgrestest.Park(t, w.DB, postgrestest.Parked{ID: delivery.NewID(), Webhook: keyless.ID, Community: "default", Reason: applier.Paused, Body: `{"coins":5}`})
	viewer := w.signedIn("vera", admin.Viewer)
	first := []string{"/", "/deliveries/compare?id=" + sent[5] + "&with=" + sent[8], "/webhooks/new", "/webhooks/" + draft.ID + "/sample?after=" + sample.String(), "/webhooks/" + keyless.ID + "/export", "/nowhere/" + keyless.ID, "/search?q=Keyless", "/search?q=alice"}
	for _, id := range []string{keyless.ID, deleted.ID} { // addresses that a viewer knows from before
		first = append(first, "/search?q="+id, "/webhooks/"+id, "/deliveries?webhook="+id, "/logs?webhook="+id, "/logs.csv?webhook="+id, "/dead-letters?webhook="+id)
	}
	pages := viewer.sweep(first...)
	visited := map[string]bool{}
	for at, p := range pages {
		for _, hook := range []broker.Saved{keyless, draft, deleted} {
			if strings.Contains(p.body, hook.ID) || strings.Contains(fmt.Sprint(p.header), hook.ID) {
				t.Errorf("%s (%d) shows the id of %s to a viewer", at, p.status, hook.Name)
			}
		}
		if !slices.Contains(first, at) && p.status >= http.StatusBadRequest && p.status != http.StatusForbidden {
			t.Errorf("a viewer's link leads to %s: %d %s", at, p.status, p.text("main"))
		}
		visited[w.routeOf(at)] = true
	}
	for _, r := range w.console.Routes() {
		if reads(r) && !slices.Contains(open, r.Path) && !slices.Contains(notForViewers, r.Path) && !visited[r.Path] {
			t.Errorf("the sweep never came to %s", r.Path)
		}
	}
	if p := pages["/webhooks"]; !strings.Contains(p.body, "https://hooks.example.com/hooks/"+keyed.ID) || strings.Contains(p.body, ".com/hooks/whf_") {
		t.Errorf("the list has not the one URL that a viewer may see: %s", p.text("#webhooks"))
	}
	own := "/webhooks/" + webhook.Fingerprint(keyless.ID)
	if p := pages[own]; p == nil || p.text("h1") != "Keyless" || p.Find("#hook-url, #curl").Length() != 0 || !strings.Contains(p.text("article"), "for admins only") {
		t.Errorf("%s is not the page of the keyless webhook, without its URL", own)
	}
	if p := w.admin.get(own); p.text("#hook-url") != "https://hooks.example.com/hooks/"+keyless.ID || !strings.Contains(p.body, webhook.Fingerprint(keyless.ID)) {
		t.Errorf("an admin follows a viewer's link: %d %q", p.status, p.text("#hook-url"))
	}
}

// notForViewers are pages that viewers are refused, and the stream of news.
var notForViewers = []string{
	"/accounts",
	"/live", "/trail", "/trail.csv", "/settings/fields/:name/delete", "/deliveries/:id/revert", "/dead-letters/replay",
	"/dead-letters/discard", "/dead-letters/export", "/runs/:id",
}

// routeOf is the route that an address belongs to.
func (w *world) routeOf(address string) string {
	path, _, _ := strings.Cut(address, "?")
	for _, fixed := range []bool{true, false} { // /webhooks/new is not /webhooks/:id
		for _, r := range w.console.Routes() {
			pattern := regexp.MustCompile(`^` + regexp.MustCompile(`:[a-z]+`).ReplaceAllString(r.Path, `[^/]+`) + `$`)
			if reads(r) && fixed != strings.Contains(r.Path, ":") && pattern.MatchString(path) {
				return r.Path
			}
		}
	}
	return ""
}
