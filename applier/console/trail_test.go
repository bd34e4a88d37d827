package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
)

func TestWhatIsRefusedIsInTheTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	viewer := w.signedIn("vera", admin.Viewer)
	before, err := w.trail.List(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.browser().post("/sign-in", credentials("anna", "not the password"))
	w.browser().post("/sign-in", credentials("my password by mistake", "anna"))
	if p := viewer.get("/trail"); p.status != http.StatusForbidden {
		t.Fatalf("a viewer's trail: %d", p.status)
	}
	entries, err := w.trail.List(t.Context(), 0, 10)
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
		if e.Via != access.ViaConsole || e.Address != "127.0.0.1" {
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
