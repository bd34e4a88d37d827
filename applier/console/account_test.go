package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
)

// Everybody changes their own password, with the one they have. Whoever else is
// signed in with the account is signed out.
func TestOnesOwnPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	viewer := w.signedIn("vera", admin.Viewer)
	other := w.browser()
	if p := other.post("/sign-in", credentials("vera", password)); p.status != http.StatusSeeOther {
		t.Fatalf("sign in: %d", p.status)
	}
	if p := viewer.get("/deliveries"); p.Find(`header a[href="/account"]`).Text() != "vera" {
		t.Error("no page leads to the account's own")
	}
	const next = "another horse, another battery"
	for name, tc := range map[string]struct {
		form  url.Values
		field string
	}{
		"the old one is wrong": {url.Values{"old": {password + "x"}, "new": {next}, "again": {next}}, "#old-error"},
		"not the same twice":   {url.Values{"old": {password}, "new": {next}, "again": {next + "x"}}, "#again-error"},
		"a common one":         {url.Values{"old": {password}, "new": {"password1234"}, "again": {"password1234"}}, "#new-error"},
		"with the name":        {url.Values{"old": {password}, "new": {"vera-vera-vera"}, "again": {"vera-vera-vera"}}, "#new-error"},
		"nothing":              {url.Values{}, "#new-error"},
	} {
		if p := viewer.post("/account/password", tc.form); p.status != http.StatusUnprocessableEntity || p.text(tc.field) == "" || strings.Contains(p.body, next) {
			t.Errorf("%s: %d %s", name, p.status, p.text("main"))
		}
	}
	form := url.Values{"old": {password}, "new": {next}, "again": {next}}
	if p := viewer.post("/account/password?"+form.Encode(), nil); p.status != http.StatusUnprocessableEntity {
		t.Errorf("passwords in the address: %d", p.status)
	}
	p := viewer.post("/account/password", form)
	if p.status != http.StatusSeeOther || !strings.Contains(viewer.get("/account").text(".flash"), "Your password is changed") {
		t.Fatalf("changed: %d %s", p.status, p.text("main"))
	}
	if p := other.get("/deliveries"); p.status != http.StatusSeeOther {
		t.Errorf("another browser is still signed in: %d", p.status)
	}
	if p := viewer.get("/deliveries"); p.status != http.StatusOK {
		t.Errorf("the browser that changed it is signed out: %d", p.status)
	}
	if p := other.post("/sign-in", credentials("vera", next)); p.status != http.StatusSeeOther {
		t.Errorf("the new password: %d", p.status)
	}
	if trail := w.admin.get("/trail"); !strings.Contains(trail.text("main"), "change password") {
		t.Errorf("the trail lacks it: %s", trail.text("main"))
	}
}

// A sign-in leaves no session of the browser behind it, and a sign-out no data.
func TestSessionsDoNotPileUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signedIn("bob", admin.Viewer)
	before := w.browser()
	before.client.Jar.SetCookies(w.address(), b.client.Jar.Cookies(w.address()))
	if p := b.post("/sign-in", credentials("bob", password)); p.status != http.StatusSeeOther {
		t.Fatalf("sign in again: %d", p.status)
	}
	if p := before.get("/deliveries"); p.status != http.StatusSeeOther {
		t.Errorf("the session before is still there: %d", p.status)
	}
	if p := b.get("/deliveries"); p.status != http.StatusOK {
		t.Errorf("the new session: %d", p.status)
	}
	if p := b.post("/sign-out", url.Values{}); p.header.Get("Clear-Site-Data") != `"cache", "storage"` {
		t.Errorf("sign out: %v", p.header)
	}
}

// Logs and histories keep addresses: no name and no password is taken from
// there, nor anything else that a form should have sent.
func TestCredentialsInTheAddressAreNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if p := w.browser().post("/sign-in?"+credentials("anna", password).Encode(), url.Values{}); p.status != http.StatusUnauthorized {
		t.Errorf("all in the address: %d", p.status)
	}
	if p := w.browser().post("/sign-in?password="+url.QueryEscape(password), url.Values{"name": {"anna"}}); p.status != http.StatusUnauthorized {
		t.Errorf("the password in the address: %d", p.status)
	}
	hook := w.webhook("Shop")
	if p := w.admin.post("/webhooks/"+hook.ID+"/delete?name=Shop", url.Values{}); p.status == http.StatusSeeOther {
		t.Error("a webhook is deleted by an address")
	}
}
