package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/console"
)

func credentials(name, password string) url.Values {
	return url.Values{"name": {name}, "password": {password}}
}

func TestSignInIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signedIn("dora", admin.Viewer)
	if _, err := w.accounts.Set(t.Context(), "dora", access.AccountChange{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	for name, form := range map[string]url.Values{
		"wrong password": credentials("anna", password+"x"),
		"no password":    credentials("anna", ""),
		"unknown":        credentials("nobody", password),
		"disabled":       credentials("dora", password),
		"another case":   credentials("ANNA", password),
		"bad name":       credentials("an\x00na", password),
		"nothing":        {},
	} {
		p := w.browser().post("/sign-in", form)
		if p.status != http.StatusUnauthorized || p.text("#problem") != "The name or the password is wrong." || len(p.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: %d %q %v", name, p.status, p.text("#problem"), p.header.Values("Set-Cookie"))
		}
	}
}

func TestSignInIsLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		if p := w.browser().post("/sign-in", credentials("anna", "wrong")); p.status != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d", i, p.status)
		}
	}
	p := w.browser().post("/sign-in", credentials("anna", password))
	if p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") == "" || !strings.Contains(p.text("#problem"), "Try again in") {
		t.Errorf("beyond the limit: %d %q", p.status, p.text("#problem"))
	}
	if p := w.admin.get("/deliveries"); p.status != http.StatusOK {
		t.Errorf("who is signed in already: %d", p.status)
	}
	w.clock.forward(15*time.Minute + time.Second)
	if p := w.browser().post("/sign-in", credentials("anna", password)); p.status != http.StatusSeeOther {
		t.Errorf("later: %d", p.status)
	}
	// What succeeded has forgotten what failed; the address is another limit.
	limited := 0
	for range 40 {
		if p := w.browser().post("/sign-in", credentials("", "wrong")); p.status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited != 30 {
		t.Errorf("%d of 40 were refused for names that cannot be, want 30", limited)
	}
}

// Behind a proxy one who tries passwords must not lock out all the others.
func TestSignInIsLimitedByTheAddressBehindAProxy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *console.Options) {
		if err := o.TrustedProxies.UnmarshalText([]byte("127.0.0.1")); err != nil {
			t.Fatal(err)
		}
	})
	try := func(i int, address string) int {
		return w.browser().post("/sign-in", credentials(fmt.Sprint("nobody", i), "wrong"), "X-Forwarded-For", address).status
	}
	for i := range 30 {
		if status := try(i, "198.51.100.1, 203.0.113.7"); status != http.StatusUnauthorized {
			t.Fatalf("attempt %d: %d", i, status)
		}
	}
	if status := try(30, "203.0.113.7"); status != http.StatusTooManyRequests {
		t.Errorf("the same address: %d", status)
	}
	if p := w.browser().post("/sign-in", credentials("anna", password), "X-Forwarded-For", "203.0.113.8"); p.status != http.StatusSeeOther {
		t.Errorf("another address: %d", p.status)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	signedIn := func(b *browser) bool { return b.get("/deliveries").status == http.StatusOK }
	for range 11 { // used every 11 h
		w.clock.forward(11 * time.Hour)
		if !signedIn(w.admin) {
			t.Fatal("a session in use has ended")
		}
	}
	// What a page asks by itself is no use.
	idle := w.signedIn("ida", admin.Viewer)
	for range 2 {
		w.clock.forward(7 * time.Hour)
		idle.get("/deliveries", "Coinhook-Unasked", "true")
	}
	if signedIn(idle) {
		t.Error("a page that looks for news keeps the session")
	}
	again := w.signedIn("bob", admin.Viewer)
	for range 3 { // more than 7 days by then
		w.clock.forward(11 * time.Hour)
		signedIn(again)
	}
	if signedIn(w.admin) {
		t.Error("a session lasts longer than 7 days")
	}
	if !signedIn(again) {
		t.Error("another session has ended, too")
	}
	w.clock.forward(12*time.Hour + time.Minute)
	if signedIn(again) {
		t.Error("a session lasts for 12 h without use")
	}
	for name, change := range map[string]access.AccountChange{"carl": {Disabled: new(true)}, "cora": {Password: new("another password")}} {
		b := w.signedIn(name, admin.Viewer)
		if _, err := w.accounts.Set(t.Context(), name, change); err != nil {
			t.Fatal(err)
		}
		if signedIn(b) {
			t.Errorf("the session of %s has not ended with %+v", name, change)
		}
	}
	b := w.signedIn("dora", admin.Viewer)
	stolen := w.browser()
	stolen.client.Jar = b.client.Jar
	if p := b.post("/sign-out", url.Values{}); p.header.Get("Location") != "/sign-in" {
		t.Errorf("sign out: %d %v", p.status, p.header)
	}
	if signedIn(stolen) {
		t.Error("the session lasts after signing out")
	}
	if first, again := b.get("/sign-in").text(".flash"), b.get("/sign-in").text(".flash"); first != "You are signed out." || again != "" {
		t.Errorf("the page says %q, and then %q", first, again)
	}
}

func TestSignInLeadsToNoOtherSite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for next, want := range map[string]string{
		"/deliveries?status=failed": "/deliveries?status=failed",
		"":                          "/",
		"//evil.example":            "/",
		"/\\evil.example":           "/",
		"https://evil.example/":     "/",
		"javascript:alert(1)":       "/",
		"deliveries":                "/",
		"/%2f/evil.example":         "/",
	} {
		form := credentials("anna", password)
		form.Set("next", next)
		if p := w.browser().post("/sign-in", form); p.status != http.StatusSeeOther || p.header.Get("Location") != want {
			t.Errorf("%q leads to %q, want %q", next, p.header.Get("Location"), want)
		}
		if p := w.browser().get("/sign-in?next=" + url.QueryEscape(next)); p.Find("input[name=next]").AttrOr("value", "") != want {
			t.Errorf("%q is kept as %q, want %q", next, p.Find("input[name=next]").AttrOr("value", ""), want)
		}
	}
}

func TestCookies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cookie := w.browser().post("/sign-in", credentials("anna", password)).header.Get("Set-Cookie")
	for _, want := range []string{"coinhook_session=", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("%q lacks %s", cookie, want)
		}
	}
	if strings.Contains(cookie, "Secure") {
		t.Errorf("%q over http", cookie)
	}
	var stored int
	token := strings.TrimPrefix(strings.Split(cookie, ";")[0], "coinhook_session=")
	if err := w.DB.QueryRow(`SELECT count(*) FROM sessions WHERE position($1 IN encode(token, 'escape')) > 0`, token).Scan(&stored); err != nil || stored > 0 {
		t.Errorf("the token itself is stored: %d, %v", stored, err)
	}
}

func TestCookiesOfHTTPS(t *testing.T) {
	t.Parallel()
	// The helper cannot sign in over http with such cookies: look at the answer.
	w := newWorld(t, publicURL("https://coinhook.example"))
	cookie := w.browser().post("/sign-in", credentials("anna", password)).header.Get("Set-Cookie")
	for _, want := range []string{"__Host-coinhook_session=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("%q lacks %s", cookie, want)
		}
	}
	// The public address's own pages are no other site's.
	if p := w.browser().do(http.MethodPost, "/sign-in", credentials("anna", password), "Origin", "https://coinhook.example"); p.status != http.StatusSeeOther {
		t.Errorf("from the public address: %d", p.status)
	}
}

// Somebody keeps a transaction open that has written to the audit trail: a sign-in says
// so soon, pages go on, and afterwards all is as before.
func TestSignInSaysThatTheTrailIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx, err := w.DB.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it is done by then
	if _, err := tx.Exec(`INSERT INTO audit_trail (who, what, target_kind, target_id, detail) VALUES ('x', 'x', '', '', '{}')`); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b := w.browser()
		p := b.post("/sign-in", credentials("anna", password))
		if p.status != http.StatusServiceUnavailable || p.header.Get("Retry-After") == "" || len(p.header.Values("Set-Cookie")) > 0 || !strings.Contains(p.body, "The audit trail cannot be written") {
			t.Errorf("held: %d %v", p.status, p.header)
		}
		if p := b.get("/deliveries"); p.status == http.StatusOK {
			t.Error("somebody is signed in without a line of the trail")
		}
	}
	if p := w.admin.get("/deliveries"); p.status != http.StatusOK {
		t.Errorf("who is signed in already: %d", p.status)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if p := w.browser().post("/sign-in", credentials("anna", password)); p.status != http.StatusSeeOther {
		t.Errorf("later: %d", p.status)
	}
}
