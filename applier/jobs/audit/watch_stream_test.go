package audit

import (
	"testing"
	"time"
)

// While there is more to compare, a quarter of the time is worked.
func TestAWatchThatIsBehindRestsLess(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		took   time.Duration
		behind bool
		want   time.Duration
	}{
		{time.Millisecond, false, 2 * time.Second},
		{time.Second, false, 10 * time.Second},
		{time.Second, true, 3 * time.Second},
		{100 * time.Millisecond, true, 300 * time.Millisecond},
	} {
		if got := rest(tc.took, tc.behind); got != tc.want {
			t.Errorf("after %v, behind %v: rests %v, want %v", tc.took, tc.behind, got, tc.want)
		}
	}
}
