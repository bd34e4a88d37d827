package engine

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Two communities are neighbours for a while after both had deliveries, wherever these
// are settled. The other appliers are told of a community twice a second.
func TestCommunitiesAreNeighboursForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var said []string
		n := &neighbours{say: func(community string) { said = append(said, community) }}
		want := func(areThere bool, when string) {
			t.Helper()
			if n.areThere(time.Now()) != areThere {
				t.Errorf("%s: neighbours are there: %t", when, !areThere)
			}
		}
		for range 100 {
			n.saw("one", true, time.Now())
			time.Sleep(sayBusyEvery / 10)
		}
		want(false, "one community alone")
		n.saw("other", false, time.Now())
		want(true, "at the first delivery of another")
		time.Sleep(neighbourFor - time.Millisecond)
		want(true, "just before its time is over")
		time.Sleep(time.Millisecond)
		want(false, "when both are quiet")
		n.saw("one", true, time.Now())
		want(false, "when one goes on")
		time.Sleep(neighbourFor)
		n.saw("other", true, time.Now())
		want(false, "when the other goes on much later")
		if want := append(slices.Repeat([]string{"one"}, 11), "other"); !slices.Equal(said, want) {
			t.Errorf("the others are told of %v, want %v", said, want)
		}
	})
}
