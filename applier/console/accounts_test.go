package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
)

// An admin adds an account, and its owner signs in with the password that the page shows
// once. The admin changes its role, gives it another password and disables it.
func TestAccountsAreManagedInTheConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	added := w.admin.post("/accounts", url.Values{"name": {"vera"}, "role": {"viewer"}})
	first := added.text("#shown")
	if added.status != http.StatusOK || len(first) < 20 {
		t.Fatalf("added: %d %s", added.status, added.text("main"))
	}
	if p := w.admin.get("/accounts"); strings.Contains(p.body, first) || !strings.Contains(p.text("#accounts"), "vera") {
		t.Errorf("the list shows the password again, or no account: %s", p.text("main"))
	}
	vera := w.browser()
	if p := vera.post("/sign-in", credentials("vera", first)); p.status != http.StatusSeeOther {
		t.Fatalf("sign in: %d", p.status)
	}
	if p := vera.get("/accounts"); p.status != http.StatusForbidden {
		t.Errorf("a viewer sees the accounts: %d", p.status)
	}
	change := func(form url.Values) {
		t.Helper()
		form.Set("name", "vera")
		p := w.admin.post("/accounts/change", form)
		if p.status != http.StatusSeeOther {
			t.Fatalf("change %v: %d %s", form, p.status, p.text("main"))
		}
	}
	change(url.Values{"role": {"admin"}})
	if p := vera.get("/accounts"); p.status != http.StatusForbidden {
		t.Errorf("an admin of all communities sees the accounts: %d", p.status)
	}
	change(url.Values{"role": {"owner"}})
	if p := vera.get("/accounts"); p.status != http.StatusOK {
		t.Errorf("the new role does not count at once: %d", p.status)
	}
	reset := w.admin.post("/accounts/password", url.Values{"name": {"vera"}})
	second := reset.text("#shown")
	if p := vera.get("/"); p.status != http.StatusSeeOther {
		t.Errorf("still signed in after the password was replaced: %d", p.status)
	}
	if p := vera.post("/sign-in", credentials("vera", second)); p.status != http.StatusSeeOther {
		t.Fatalf("sign in with the second password: %d", p.status)
	}
	if p := w.admin.post("/accounts/sign-out", url.Values{"name": {"vera"}}); p.status != http.StatusSeeOther {
		t.Fatalf("sign out: %d %s", p.status, p.text("main"))
	}
	if p := vera.get("/"); p.status != http.StatusSeeOther {
		t.Errorf("still signed in: %d", p.status)
	}
	change(url.Values{"state": {"disabled"}})
	if p := vera.post("/sign-in", credentials("vera", second)); p.status == http.StatusSeeOther {
		t.Error("a disabled account signs in")
	}
	trail := w.admin.get("/trail").text("main")
	for _, what := range []string{"add account", "change account", "sign out everywhere"} {
		if !strings.Contains(trail, what) {
			t.Errorf("the trail lacks %q: %s", what, trail)
		}
	}
	if strings.Contains(trail, first) || strings.Contains(trail, second) {
		t.Error("the trail has a password")
	}
}

// A form that is wrong is answered with its cause, and nobody takes away their own rights.
func TestAccountsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := w.admin.get("/account").text("summary .text")
	for name, tc := range map[string]struct {
		path string
		form url.Values
		want string
	}{
		"a name with spaces":        {"/accounts", url.Values{"name": {"a b"}, "role": {"viewer"}}, "letters, digits"},
		"a name that there is":      {"/accounts", url.Values{"name": {me}, "role": {"viewer"}}, "already"},
		"a role that there is not":  {"/accounts", url.Values{"name": {"x"}, "role": {"king"}}, "has a role in one community"},
		"one's own role":            {"/accounts/change", url.Values{"name": {me}, "role": {"viewer"}}, "another owner"},
		"one's own state":           {"/accounts/change", url.Values{"name": {me}, "state": {"disabled"}}, "another owner"},
		"one's own password":        {"/accounts/password", url.Values{"name": {me}}, "Your account"},
		"somebody unknown":          {"/accounts/change", url.Values{"name": {"nobody"}, "role": {"viewer"}}, "No such account"},
		"days that are none":        {"/tokens", url.Values{"name": {"t"}, "days": {"x"}}, "1 to 3650"},
		"a token without a name":    {"/tokens", url.Values{"name": {""}}, "name is"},
		"a token that there is not": {"/tokens/revoke", url.Values{"name": {"t"}}, "no such token"},
	} {
		if p := w.admin.post(tc.path, tc.form); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("main"), tc.want) {
			t.Errorf("%s: %d %s", name, p.status, p.text("main"))
		}
	}
}

func TestTokensAreMadeInTheConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.admin.post("/tokens", url.Values{"name": {"leaderboard"}, "community": {"default"}, "days": {"30"}})
	text := made.text("#shown")
	tokens := access.NewTokens(w.Store, w.clock.now)
	found, err := tokens.Authenticate(t.Context(), text)
	if err != nil || found.Community != "default" || found.ExpiresAt == nil {
		t.Fatalf("%d %s: %+v, %v", made.status, made.text("main"), found, err)
	}
	if p := w.admin.post("/tokens", url.Values{"name": {"leaderboard"}}); p.status != http.StatusUnprocessableEntity {
		t.Errorf("the same name twice: %d", p.status)
	}
	if p := w.admin.post("/tokens/revoke", url.Values{"name": {"leaderboard"}, "community": {"default"}}); p.status != http.StatusSeeOther {
		t.Fatalf("revoke: %d %s", p.status, p.text("main"))
	}
	if _, err := tokens.Authenticate(t.Context(), text); err == nil {
		t.Error("a revoked token works")
	}
}

// Everybody sees where they are signed in, and ends what is not theirs any more. Nobody
// ends a session of somebody else by its id.
func TestOnesOwnSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	viewer, other := w.signedIn("vera", admin.Viewer), w.browser()
	if p := other.post("/sign-in", credentials("vera", password)); p.status != http.StatusSeeOther {
		t.Fatalf("sign in: %d", p.status)
	}
	p := viewer.get("/account")
	forms := p.Find(`#sessions input[name="session"]`)
	if forms.Length() != 1 || !strings.Contains(p.text("#sessions"), "127.0.0.1 (this browser)") {
		t.Fatalf("sessions: %s", p.text("#sessions"))
	}
	id, _ := forms.Attr("value")
	if p := w.admin.post("/account/sessions/end", url.Values{"session": {id}}); !strings.Contains(w.admin.get("/account").text(".flash"), "already") {
		t.Errorf("somebody else's session: %d", p.status)
	}
	if p := other.get("/"); p.status != http.StatusOK {
		t.Errorf("it has ended: %d", p.status)
	}
	if p := viewer.post("/account/sessions/end", url.Values{"session": {"x"}}); p.status != http.StatusUnprocessableEntity {
		t.Errorf("no session: %d", p.status)
	}
	if p := viewer.post("/account/sessions/end", url.Values{"session": {id}}); p.status != http.StatusSeeOther {
		t.Fatalf("end: %d %s", p.status, p.text("main"))
	}
	if p := other.get("/"); p.status != http.StatusSeeOther {
		t.Errorf("the other browser is still signed in: %d", p.status)
	}
	if p := viewer.get("/"); p.status != http.StatusOK {
		t.Errorf("this browser is signed out: %d", p.status)
	}
}
