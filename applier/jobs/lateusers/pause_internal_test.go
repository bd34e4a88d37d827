package lateusers

import (
	"testing"
	"time"
)

// A page that waited for a PostgreSQL that stood still does not stop the job for
// minutes.
func TestThePauseAfterAPageIsBounded(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		10 * time.Millisecond: 200 * time.Millisecond,
		time.Second:           20 * time.Second,
		time.Minute:           30 * time.Second,
	} {
		if got := pauseAfter(took); got != want {
			t.Errorf("after %s it pauses for %s, want %s", took, got, want)
		}
	}
}
