package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	shop := w.webhook("Shop")
	w.settle()
	good := "/deliveries/" + w.settled(shop, `{"user":"alice@example.com","coins":50,"list":[1,{"odd key":null}]}`).String()
	bad := "/deliveries/" + w.settled(shop, `{"user":"nobody@example.com","coins":50}`).String()

	p := w.admin.get(bad)
	if p.text("article h1") != "✗ failed Shop" || p.text("dl code") == "" || !strings.Contains(p.text(".advice"), "Add or import the user") {
		t.Errorf("details: %s", p.text("main"))
	}
	if got := p.text(".tabs [aria-current]"); got != "Details" {
		t.Errorf("the tab is %q", got)
	}
	p = w.admin.get(good + "?tab=payload")
	for path, want := range map[string]string{"coins": "50", "user": `"alice@example.com"`, "list[0]": "1", "list[1]['odd key']": "null"} {
		if got := p.text(`.tree [data-path="` + path + `"]`); got != want {
			t.Errorf("at %s: %q, want %q", path, got, want)
		}
	}
	if got := w.admin.get(good + "?tab=changes").text("td.num"); got != "+5050" { // the change, and the balance after it
		t.Errorf("changes: %q", got)
	}
	if got := w.admin.get(good + "?tab=runs").text(".runs li"); !strings.HasPrefix(got, "✓ success delivery") {
		t.Errorf("runs: %q", got)
	}
	if got := w.admin.get(bad + "?tab=changes").text(".empty"); got != "It changed nothing: it failed with user_not_found." {
		t.Errorf("changes of a failed one: %q", got)
	}
	// htmx gets what belongs into the panel alone.
	if p := w.admin.get(good, "HX-Request", "true", "HX-Request-Type", "partial"); p.Find("nav[aria-label=Pages]").Length() != 0 || p.Find("article.delivery").Length() != 1 {
		t.Errorf("for htmx: %s", p.body)
	}
	for _, path := range []string{"/deliveries/x", "/deliveries/" + delivery.NewID().String()} {
		if p := w.admin.get(path); p.status != http.StatusNotFound || p.Find("[role=alert]").Length() != 1 {
			t.Errorf("%s: %d", path, p.status)
		}
	}
}

func TestPayloadsAreText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const script = `<script>alert(1)</script><img src=x onerror=alert(2)>`
	hook := w.webhook(`Shop "><script>alert(3)</script>`)
	w.settle()
	for _, body := range []string{`{"user":"` + script + `","` + script + `":["` + script + `"],"coins":1}`, script, "\xff\x00" + script} {
		id := w.settled(hook, body)
		for _, path := range []string{"/deliveries", "/deliveries/" + id.String(), "/deliveries/" + id.String() + "?tab=payload", "/deliveries/" + id.String() + "?tab=runs"} {
			p := w.admin.get(path)
			if n := p.Find("script:not([src]), img[onerror], img[src=x]").Length(); p.status != http.StatusOK || n > 0 {
				t.Errorf("%s of %q: %d, %d elements of the payload's", path, body, p.status, n)
			}
		}
		p := w.admin.get("/deliveries/" + id.String() + "/payload")
		if p.header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(p.header.Get("Content-Disposition"), "attachment") {
			t.Errorf("the file: %v", p.header)
		}
	}
}

// The file of a payload is the body, also where the URL had a query, and that query where there
// is no body.
func TestTheFileIsThePayload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhook("Shop")
	w.settle()
	for _, tc := range []struct{ query, body, want string }{
		{"", `{"n":1}`, `{"n":1}`},
		{"from=shop", `{"n":1}`, `{"n":1}`},
		{"from=shop", "", "from=shop"},
	} {
		id := w.settledRequest(hook, tc.query, tc.body)
		if got := w.admin.get("/deliveries/" + id.String() + "/payload").body; got != tc.want {
			t.Errorf("of %q with the query %q it is %q", tc.body, tc.query, got)
		}
	}
}

func TestSecretsAreRevealedToAdminsAndWrittenDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	viewer := w.signedIn("victor", admin.Viewer)
	id := w.send(w.webhook("Shop"), `{"user":"alice","password":"hunter2hunter2"}`)
	path := "/deliveries/" + id.String()
	for name, b := range map[string]*browser{"admin": w.admin, "viewer": viewer} {
		for _, p := range []*page{b.get(path + "?tab=payload"), b.get(path + "/payload")} {
			if p.status != http.StatusOK || strings.Contains(p.body, "hunter2") || !strings.Contains(p.body, "[redacted]") {
				t.Errorf("%s sees: %d %s", name, p.status, p.body)
			}
		}
	}
	if n := viewer.get(path + "?tab=payload").Find("form[action$=reveal]").Length(); n != 0 {
		t.Errorf("%d forms to reveal it, for a viewer", n)
	}
	form := w.admin.get(path + "?tab=payload").Find("form[action$=reveal]")
	p := w.admin.post(form.AttrOr("action", ""), url.Values{})
	if p.status != http.StatusOK || !strings.Contains(p.text(`.tree [data-path="password"]`), "hunter2hunter2") {
		t.Errorf("revealed: %d %s", p.status, p.text("main"))
	}
	line := w.admin.get("/trail").text("tbody tr:first-child")
	if !strings.Contains(line, "anna") || !strings.Contains(line, "reveal payload") || !strings.Contains(line, id.String()) || strings.Contains(line, "hunter") {
		t.Errorf("the trail says %q", line)
	}
}

func TestTheTrailHasPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 60 {
		if err := w.trail.Record(t.Context(), admin.Actor{Via: admin.ViaConsole, Who: "anna"}, "test", "thing", "<b>", map[string]any{"a": 1}); err != nil {
			t.Fatal(err)
		}
	}
	p := w.admin.get("/trail")
	if n := p.Find("tbody tr").Length(); n != 50 || p.text("tbody tr:first-child [data-label=Detail]") != "a: 1" || p.Find("td b").Length() > 0 {
		t.Errorf("%d rows, the first is %q", n, p.text("tbody tr:first-child"))
	}
	p = w.admin.get(p.Find("a[rel=next]").AttrOr("href", ""))
	if n := p.Find("tbody tr").Length(); n != 11 || !strings.Contains(p.text("tbody tr:last-child"), "sign in") || p.Find("a[rel=next]").Length() != 0 {
		t.Errorf("%d rows, the last is %q", n, p.text("tbody tr:last-child"))
	}
	if p := w.admin.get("/trail?before=x"); p.status != http.StatusBadRequest {
		t.Errorf("a bad place: %d", p.status)
	}
}
