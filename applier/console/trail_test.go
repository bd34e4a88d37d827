package console_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
)

func TestWhatIsRefusedIsInTheTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	viewer := w.signedIn("vera", admin.Viewer)
	before, err := w.trail.List(t.Context(), access.TrailFilter{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	w.browser().post("/sign-in", credentials("anna", "not the password"))
	w.browser().post("/sign-in", credentials("my password by mistake", "anna"))
	if p := viewer.get("/trail"); p.status != http.StatusForbidden {
		t.Fatalf("a viewer's trail: %d", p.status)
	}
	entries, err := w.trail.List(t.Context(), access.TrailFilter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	type line struct{ Who, What, Kind, ID, Detail string }
	var got []line
	for _, e := range entries {
		if e.ID <= before[0].ID {
			break
		}
		got = append(got, line{e.Who, e.What, e.TargetKind, e.TargetID, string(e.Detail)})
		if e.Via != admin.ViaConsole || e.Address != "127.0.0.1" {
			t.Errorf("%+v", e)
		}
	}
	want := []line{
		{"vera", "refused", "page", "/trail", `{"method":"GET","needs":"owner"}`},
		{"", "sign-in refused", "account", "", `{"why":"the name or the password is wrong"}`},
		{"", "sign-in refused", "account", "anna", `{"why":"the name or the password is wrong"}`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if rows := w.admin.get("/trail").text("tbody"); !strings.Contains(rows, "console 127.0.0.1") || !strings.Contains(rows, "sign-in refused") {
		t.Errorf("the page says %q", rows)
	}
}

// The page narrows the trail, links what was changed, and says in words what changed.
func TestTheTrailIsNarrowedAndLinked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	other := w.webhookOf("{name: Elsewhere, community: guild}")
	rename := func(id, name string) {
		t.Helper()
		form := url.Values{"name": {name}, "revision": {strconv.FormatUint(w.reread(id).Revision, 10)}}
		if p := w.admin.post("/webhooks/"+id+"/name", form); p.status != http.StatusSeeOther {
			t.Fatalf("%d %s", p.status, p.text("main"))
		}
	}
	rename(shop.ID, "Store")
	rename(other.ID, "Inn")
	if err := w.trail.Record(t.Context(), admin.Actor{Via: admin.ViaCommand, Who: "root"}, "set state", "webhook", shop.ID,
		map[string]any{"name": "Store", "community": "default", "state": "paused", "was": "active", "version": 3}); err != nil {
		t.Fatal(err)
	}
	rows := func(address string) []string {
		t.Helper()
		p := w.admin.get(address)
		if p.status != http.StatusOK {
			t.Fatalf("%s: %d", address, p.status)
		}
		return p.Find("#trail tbody tr").Map(func(_ int, row *goquery.Selection) string { return row.Text() })
	}
	all := rows("/trail?what=rename+webhook")
	if len(all) != 2 || !strings.Contains(all[1], "Shop → Store") || !strings.Contains(all[0], "Elsewhere → Inn") || !strings.Contains(all[0], "of guild") {
		t.Errorf("the renames are %q", all)
	}
	for address, want := range map[string]string{
		"/trail?via=command":                         "active → paused",
		"/trail?who=root":                            "active → paused",
		"/trail?what=rename+webhook&community=guild": "Inn",
		"/trail?target=" + shop.ID + "&via=console":  "Shop → Store",
		"/trail?span=24h&who=root":                   "set state",
	} {
		if got := rows(address); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s has %q, want one with %q", address, got, want)
		}
	}
	if got := rows("/trail?until=2020-01-01T00:00"); len(got) != 0 {
		t.Errorf("until 2020: %q", got)
	}
	p := w.admin.get("/trail?what=rename+webhook&community=default")
	for _, link := range []string{"/webhooks/" + shop.ID, "/webhooks/" + shop.ID + "/versions?from=1&to=2", "/trail?target=" + shop.ID, "/trail?community=default"} {
		if p.Find(`a[href="`+link+`"]`).Length() == 0 {
			t.Errorf("no link leads to %s", link)
		}
	}
	if p := w.admin.get("/trail?since=yesterday"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("a time that is none: %d", p.status)
	}
	file := w.admin.get("/trail.csv?what=rename+webhook&community=guild")
	if lines := strings.Split(strings.TrimSpace(file.body), "\r\n"); len(lines) != 2 || !strings.Contains(lines[1], other.ID) {
		t.Errorf("the file is %q", file.body)
	}
	if got := rows("/trail?what=export+audit+trail"); len(got) != 1 {
		t.Errorf("the download is recorded as %q", got)
	}
	if p := w.signedIn("vera", admin.Viewer).get("/trail.csv"); p.status != http.StatusForbidden {
		t.Errorf("a viewer's file: %d", p.status)
	}
}
