package console_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/console"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// open are the routes that need no session.
var open = []string{"/sign-in", "/healthz", "/readyz", "/static/:name", "/apis/*", "/openapi.json"}

// address is a route's with something in its parameters.
func address(r *echo.Route) string {
	parts := strings.Split(r.Path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, ":") {
			parts[i] = delivery.NewID().String()
		}
	}
	return strings.Join(parts, "/")
}

func reads(r *echo.Route) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

func TestWhoIsSignedOutSeesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhook("Secret shop")
	w.send(hook, `{}`)
	routes := slices.DeleteFunc(w.console.Routes(), func(r *echo.Route) bool { return slices.Contains(open, r.Path) })
	if len(routes) < 5 {
		t.Fatalf("%d routes", len(routes))
	}
	for _, r := range append(routes, &echo.Route{Method: http.MethodGet, Path: "/nowhere"}) {
		b, path := w.browser(), address(r)
		p := b.do(r.Method, path, url.Values{}, "Sec-Fetch-Site", "same-origin")
		switch {
		case !reads(r) || r.Path == "/live":
			if p.status != http.StatusUnauthorized {
				t.Errorf("%s %s: %d, want 401", r.Method, r.Path, p.status)
			}
		case p.status != http.StatusSeeOther || !strings.HasPrefix(p.header.Get("Location"), "/sign-in"):
			t.Errorf("%s %s: %d to %q, want the sign-in", r.Method, r.Path, p.status, p.header.Get("Location"))
		case path != "/" && p.header.Get("Location") != "/sign-in?next="+url.QueryEscape(path):
			t.Errorf("%s %s: the sign-in leads to %q", r.Method, r.Path, p.header.Get("Location"))
		}
		if p.Find("nav").Length() > 0 || strings.Contains(p.body, "Secret shop") {
			t.Errorf("%s %s shows something: %s", r.Method, r.Path, p.body)
		}
		p = b.do(r.Method, path, url.Values{}, "Sec-Fetch-Site", "same-origin", "HX-Request", "true")
		if p.status != http.StatusUnauthorized || p.header.Get("HX-Retarget") != "#notice" || p.Find(`#error a[href="/sign-in"]`).Length() != 1 {
			t.Errorf("htmx, %s %s: %d %s", r.Method, r.Path, p.status, p.body)
		}
	}
}

func TestViewersChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	viewer := w.signedIn("victor", admin.Viewer)
	changes := 0
	for _, r := range w.console.Routes() {
		if slices.Contains(open, r.Path) || r.Path == "/sign-out" || strings.HasPrefix(r.Path, "/account/") || reads(r) {
			continue
		}
		changes++
		if p := viewer.do(r.Method, address(r), url.Values{}, "Sec-Fetch-Site", "same-origin"); p.status != http.StatusForbidden || !strings.Contains(p.text("[role=alert]"), "Ask an owner") && !strings.Contains(p.text("main"), "ask an owner") {
			t.Errorf("%s %s: %d %s", r.Method, r.Path, p.status, p.text("main"))
		}
	}
	if changes == 0 {
		t.Error("no route changes anything: this test cannot fail")
	}
	if p := viewer.get("/trail"); p.status != http.StatusForbidden {
		t.Errorf("the audit trail: %d", p.status)
	}
	for _, who := range []struct {
		*browser
		links int
	}{{viewer, 0}, {w.admin, 1}} {
		if n := who.get("/deliveries").Find(`nav a[href="/trail"]`).Length(); n != who.links {
			t.Errorf("%d links to the audit trail, want %d", n, who.links)
		}
	}
	if p := viewer.post("/sign-out", url.Values{}); p.status != http.StatusSeeOther {
		t.Errorf("sign out: %d", p.status)
	}
	if p := viewer.get("/deliveries"); p.status != http.StatusSeeOther {
		t.Errorf("after it: %d", p.status)
	}
}

// What htmx asks for is answered beside the page: an answer without the part that it
// replaces would take that part away, with all that was typed.
func TestErrorsLeaveThePageAsItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhook("Shop")
	if err := w.webhooks.Delete(t.Context(), w.reread(hook.ID)); err != nil {
		t.Fatal(err)
	}
	p := w.admin.post("/webhooks/"+hook.ID, url.Values{"do": {"save"}}, "HX-Request", "true", "HX-Request-Type", "full")
	for header, want := range map[string]string{"HX-Retarget": "#notice", "HX-Reswap": "innerHTML", "HX-Reselect": "#error"} {
		if got := p.header.Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	if p.status != http.StatusNotFound || p.text("#error") == "" || p.Find("nav").Length() != 0 {
		t.Errorf("%d: %s", p.status, p.body)
	}
}

// Somebody who clicks twice, or leaves, does not undo half of what was begun.
func TestWhatChangesIsDoneToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone, leave := context.WithCancel(t.Context())
	leave()
	form := url.Values{"email": {"alice@example.com"}}
	req := httptest.NewRequestWithContext(gone, http.MethodPost, w.url+"/users", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, cookie := range w.admin.client.Jar.Cookies(req.URL) {
		req.AddCookie(cookie)
	}
	w.console.ServeHTTP(httptest.NewRecorder(), req)
	if rows := cells(w.admin.get("/users"), "#users tbody tr"); len(rows) != 1 {
		t.Errorf("there are %d users", len(rows))
	}
	if trail := w.admin.get("/trail").text("#trail"); !strings.Contains(trail, "add user") {
		t.Errorf("the trail is %q", trail)
	}
}

func TestAFormIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The answer comes before the body: without this header the connection might
	// break while it is sent.
	w.admin.client.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	p := w.admin.post("/deliveries/x/reveal", url.Values{"x": {strings.Repeat("x", 3<<20)}}, "Expect", "100-continue")
	if p.status != http.StatusRequestEntityTooLarge || !strings.Contains(p.text("main"), "more than a form may hold") {
		t.Errorf("3 MiB: %d %q", p.status, p.text("main"))
	}
}

// Programs are answered by the API alone, whatever they send.
func TestTheAPIAnswersByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *console.Options) {
		o.API = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(rw, n, " bytes, ", err)
		})
	})
	p := w.browser().do(http.MethodPost, "/apis/v1/users/info", url.Values{"x": {strings.Repeat("x", 3<<20)}}, "Sec-Fetch-Site", "cross-site")
	if p.status != http.StatusOK || p.body != "3145730 bytes, <nil>" {
		t.Errorf("status %d, %.200q", p.status, p.body)
	}
}

// A role counts as it is now.
func TestARoleChangesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signedIn("olaf", admin.Owner)
	if _, err := w.accounts.Set(t.Context(), "anna", access.AccountChange{Give: &access.Give{Right: admin.Viewer}}); err != nil {
		t.Fatal(err)
	}
	if p := w.admin.get("/trail"); p.status != http.StatusForbidden {
		t.Errorf("the audit trail: %d", p.status)
	}
}

func TestAnotherSitesPagesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, r := range w.console.Routes() {
		if reads(r) || strings.HasPrefix(r.Path, "/apis/") {
			continue
		}
		for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
			if p := w.admin.do(r.Method, address(r), url.Values{}, headers...); p.status != http.StatusForbidden {
				t.Errorf("%s %s with %v: %d", r.Method, r.Path, headers, p.status)
			}
		}
	}
	if p := w.admin.get("/deliveries"); p.status != http.StatusOK {
		t.Errorf("the session has ended: %d", p.status)
	}
}

func TestPagesTellBrowsersWhatTheyMayDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.send(w.webhook("Shop"), `{}`)
	for _, path := range []string{"/sign-in", "/deliveries", "/deliveries/" + id.String(), "/trail", "/nowhere"} {
		b := w.admin
		if path == "/sign-in" {
			b = w.browser()
		}
		p := b.get(path)
		csp := p.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy lacks %s: %s", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %s", path, csp)
		}
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"} {
			if got := p.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if n := p.Find("script:not([src]), style, [style], [onclick], [onload]").Length(); n > 0 {
			t.Errorf("%s has %d inline scripts or styles", path, n)
		}
		if n := p.Find("main h1").Length(); n != 1 {
			t.Errorf("%s has %d headings", path, n)
		}
		if len(p.body) > 100<<10 {
			t.Errorf("%s has %d bytes", path, len(p.body))
		}
		for _, reference := range p.Find("link[href], script[src]").EachIter() {
			at := reference.AttrOr("href", reference.AttrOr("src", ""))
			a := w.browser().get(at, "Accept-Encoding", "gzip")
			if a.status != http.StatusOK || !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("Content-Encoding") != "gzip" {
				t.Errorf("%s: %d %v", at, a.status, a.header)
			}
		}
	}
	if p := w.browser().get("/static/htmx.js"); p.status != http.StatusOK || p.header.Get("Cache-Control") != "no-store" {
		t.Errorf("a file without its version: %d %v", p.status, p.header)
	}
	if p := w.browser().get("/static/nothing.js"); p.status != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", p.status)
	}
}

// A form whose time is over is answered, to members of a community as to owners.
func TestAFormThatTakesTooLongIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("ann@example.com")
	people := map[string]*browser{"an owner": w.admin, "an editor": w.member("eve", "default", admin.Editor)}
	w.console.FinishWithin(200 * time.Millisecond)
	tx, err := w.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it only held the lock
	if _, err := tx.ExecContext(t.Context(), "LOCK TABLE users"); err != nil {
		t.Fatal(err)
	}
	for who, b := range people {
		p := b.post("/users", url.Values{"email": {"new@example.com"}})
		if p.status < http.StatusInternalServerError || !strings.Contains(p.text("main"), "It is not known whether that was done") {
			t.Errorf("%s: %d %q", who, p.status, p.body)
		}
	}
}
