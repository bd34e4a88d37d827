package audit

import (
	"testing"
	"testing/synctest"
	"time"
)

// While there is more to compare, a quarter of the time is worked, otherwise an eighth.
func TestAWatchThatIsBehindRestsLess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		took, rested time.Duration
		behind       bool
		want         time.Duration
	}{
		{took: time.Millisecond, want: 2 * time.Second},
		{took: time.Second, want: 7 * time.Second},
		{took: 2 * time.Second, rested: 1750 * time.Millisecond, want: 250 * time.Millisecond},
		{took: 100 * time.Millisecond, behind: true, want: 300 * time.Millisecond},
		{took: time.Second, rested: 750 * time.Millisecond, behind: true},
	} {
		paced := pace{rested: tc.rested}
		if got := paced.left(tc.took, tc.behind); got != tc.want {
			t.Errorf("after %v with %v of rests, behind %v: rests %v, want %v", tc.took, tc.rested, tc.behind, got, tc.want)
		}
	}
}

// A pass rests between its portions, and not after the last one.
func TestAPassRestsBetweenItsPortions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		paced := pace{rests: idle, began: time.Now()}
		for range 3 {
			time.Sleep(10 * time.Millisecond) // a portion
			if err := paced.rest(t.Context(), false); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Millisecond)
		if err := paced.rest(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if paced.worked != 40*time.Millisecond || paced.rested != 210*time.Millisecond {
			t.Errorf("worked %v and rested %v, want 40 ms and 210 ms", paced.worked, paced.rested)
		}
	})
}
