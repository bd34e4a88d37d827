package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
)

func TestACommunityIsMadeInTheSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.admin.post("/settings/communities", url.Values{"name": {"north"}})
	if at := p.header.Get("Location"); p.status != http.StatusSeeOther || at != "/settings?community=north" {
		t.Fatalf("%d %q %s", p.status, at, p.text("main"))
	}
	if p := w.admin.get("/settings?community=north"); p.Find(`form[action="/settings/currencies"] [name=community][value=north]`).Length() == 0 {
		t.Errorf("its settings: %s", p.text("main"))
	}
	if p := w.admin.get("/webhooks/new?sender=other"); p.Find(`#community option[value=north]`).Length() != 1 {
		t.Error("no webhook can be made in it")
	}
	if p := w.admin.post("/users", url.Values{"email": {"ann@example.com"}, "community": {"north"}}); p.status != http.StatusSeeOther {
		t.Errorf("no user can be added: %d %s", p.status, p.text("main"))
	}
	if trail := w.admin.get("/trail").text("main"); !strings.Contains(trail, "create community") || !strings.Contains(trail, "north") {
		t.Error("the trail lacks it")
	}
	for _, name := range []string{"north", "default", "No Th", "", strings.Repeat("x", 64)} {
		p := w.admin.post("/settings/communities", url.Values{"name": {name}})
		if p.status != http.StatusUnprocessableEntity || p.text("#wrong-community") == "" || p.Find("#new-community [name=name]").AttrOr("value", "") != name {
			t.Errorf("%q: %d %s", name, p.status, p.text("main"))
		}
	}
	if p := w.signedIn("vera", admin.Viewer).post("/settings/communities", url.Values{"name": {"south"}}); p.status != http.StatusForbidden {
		t.Errorf("a viewer makes one: %d", p.status)
	}
}

// A form that names a community that does not exist is refused on every page, with the
// names that are alike.
func TestAFormMakesNoCommunityByMistake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin.post("/settings/communities", url.Values{"name": {"north"}})
	for path, form := range map[string]url.Values{
		"/users":               {"email": {"ann@example.com"}},
		"/webhooks":            {"name": {"Shop"}, "encryption": {"none"}},
		"/settings/currencies": {"code": {"gems"}, "scale": {"0"}, "min": {"0"}},
		"/settings/fields":     {"name": {"team"}, "type": {"text"}},
		"/tokens":              {"name": {"bot"}, "days": {"30"}},
	} {
		p := w.admin.post(path, with(form, "community", "nort"))
		if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("main"), "There is no community “nort”: did you mean “north”? Nothing was changed.") {
			t.Errorf("%s: %d %s", path, p.status, p.text("main"))
		}
	}
	p := w.admin.uploadIn("nort", "/users/import", "email\nann@example.com\n")
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("main"), "did you mean “north”?") {
		t.Errorf("an import: %d %s", p.status, p.text("main"))
	}
	if p := w.admin.get("/settings?community=nort"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("settings of none: %d", p.status)
	}
	known, err := w.Store.Communities(t.Context())
	if err != nil || strings.Join(known, " ") != "north" {
		t.Errorf("there are %q, %v", known, err)
	}
}
