package postgres_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// The next command may come at once: nobody tells it to wait for the one that has
// just ended.
func TestAReplayThatEndedHoldsNothing(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	for range 100 {
		release, err := s.Hold(t.Context(), "all")
		if err != nil {
			t.Fatal(err)
		}
		if other, err := s.Hold(t.Context(), "all"); err == nil {
			other()
			t.Fatal("two commands hold the same replay")
		}
		release()
	}
}
