package console

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// The oldest runs that have ended go, and no others.
func TestRunsAreKept(t *testing.T) {
	t.Parallel()
	r := newRuns()
	e := echo.New()
	c := &request{Context: e.NewContext(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), nil), session: access.Session{Account: "anna"}}
	hold := make(chan bool)
	r.begin(c, delivery.NewID(), "going", "/", func(context.Context, *run) (string, error) {
		<-hold
		return "", nil
	})
	for i := range runsKept + 5 {
		one := r.begin(c, delivery.NewID(), fmt.Sprint(i), "/", func(context.Context, *run) (string, error) { return "", nil })
		for !one.view().HasEnded() {
			runtime.Gosched()
		}
	}
	close(hold)
	kept := r.list(c)
	if len(kept) != runsKept || kept[0].What != fmt.Sprint(runsKept+4) || kept[len(kept)-2].What != "6" || kept[len(kept)-1].What != "going" {
		t.Errorf("%d are kept, from %s to %s", len(kept), kept[0].What, kept[len(kept)-1].What)
	}
	r.stop()
}
