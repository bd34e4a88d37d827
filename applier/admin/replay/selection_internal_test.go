package replay

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A request names the path of what failed, which may be long, and the communities of an
// admin, which may be many.
func TestALongRequestIsFoundAgain(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	var long strings.Builder
	for long.Len() < 12_000 {
		long.WriteString(rand.Text()) // which nothing compresses
	}
	for _, asked := range []string{"all", long.String(), long.String() + "!"} {
		request := Request{Asked: asked, Mapping: Current}
		if run, err := s.FindRun(t.Context(), request.selection()); err != nil || run != nil {
			t.Fatalf("a request that was not made is found as %v, %v", run, err)
		}
		run := postgres.ReplayRun{ID: delivery.NewID(), RequestedBy: "ada", PlannedAt: time.Now(), Total: 1}
		if err := s.BeginRun(t.Context(), request.selection(), run); err != nil {
			t.Fatal(err)
		}
		if got, err := s.FindRun(t.Context(), request.selection()); err != nil || got == nil || got.ID != run.ID {
			t.Errorf("the run is found as %v, %v", got, err)
		}
	}
}
