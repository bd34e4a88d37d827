package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// A leader that is frozen keeps its connection, and its kernel answers for it. The
// database gives the lead to another. One that rests keeps it.
func TestALeaderThatSaysNothingLosesTheLead(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	one, two := openSettling(t, url), openSettling(t, url)
	const silence = 500 * time.Millisecond
	one.SetLeadSilence(silence)
	first := mustLead(t, one)
	defer first.Close()

	first.Rest(t.Context(), 3*silence)
	if err := first.Check(t.Context()); err != nil {
		t.Fatalf("one that rested lost the lead: %v", err)
	}
	if lead, err := two.Lead(t.Context(), postgres.LateUsers); err != nil || lead != nil {
		t.Fatalf("two have the lead: %v", err)
	}

	var second *postgres.Lead
	eventually(t, func() (err error) { // the first one says nothing
		if second, err = two.Lead(t.Context(), postgres.LateUsers); err == nil && second == nil {
			err = errors.New("the lead is still the frozen one's")
		}
		return err
	})
	defer second.Close()
	if err := first.Check(t.Context()); err == nil {
		t.Error("the frozen one goes on")
	}
}
