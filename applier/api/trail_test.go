package api_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/access"
)

func TestATokenThatIsRefusedIsInTheTrail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text, _, err := w.tokens.Add(t.Context(), mine, "gone", 0, "anna")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.tokens.Revoke(t.Context(), mine, "gone", "anna"); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{text, "nonsense"} {
		r := w.request(http.MethodGet, "/apis/v1/users", "")
		r.Header.Set("Authorization", "Bearer "+token)
		r.RemoteAddr = "192.0.2.7:4711"
		if got := w.send(r); got.status != http.StatusUnauthorized {
			t.Errorf("%d", got.status)
		}
	}
	entries, err := access.NewTrail(w.Store, w.now).List(t.Context(), access.TrailFilter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	type line struct{ Via, Address, What, ID, Detail string }
	var got []line
	for _, e := range entries {
		got = append(got, line{e.Via, e.Address, e.What, e.TargetID, string(e.Detail)})
	}
	want := []line{
		{"api", "192.0.2.7", "token refused", "", `{"why":"unknown"}`},
		{"api", "192.0.2.7", "token refused", "gone", `{"community":"` + mine + `","why":"revoked"}`},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
