package console

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// The oldest runs that have ended go, and no others.
func TestRunsAreKept(t *testing.T) {
	t.Parallel()
	r := newRuns()
	hold := make(chan bool)
	r.begin(delivery.NewID(), "going", "anna", "/", func(context.Context, *run) (string, error) {
		<-hold
		return "", nil
	})
	for i := range runsKept + 5 {
		one := r.begin(delivery.NewID(), fmt.Sprint(i), "anna", "/", func(context.Context, *run) (string, error) { return "", nil })
		for !one.view().HasEnded {
			runtime.Gosched()
		}
	}
	close(hold)
	kept := r.list()
	if len(kept) != runsKept || kept[0].What != fmt.Sprint(runsKept+4) || kept[len(kept)-2].What != "6" || kept[len(kept)-1].What != "going" {
		t.Errorf("%d are kept, from %s to %s", len(kept), kept[0].What, kept[len(kept)-1].What)
	}
	r.stop()
}
