package jobs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
)

func TestAFailureIsRestedFrom(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for name, tc := range map[string]struct {
		pause time.Duration
		err   error
		want  time.Duration
	}{
		"a turn":                        {time.Second, nil, time.Second},
		"a turn that failed at once":    {time.Second, failed, 2 * time.Second},
		"a turn that took long to fail": {time.Minute, failed, time.Minute},
	} {
		if got := (Job{Every: 2 * time.Second}).rest(tc.pause, tc.err); got != tc.want {
			t.Errorf("%s: rests %v, want %v", name, got, tc.want)
		}
	}
}

// Work that can wait goes on as soon as settling has caught up, and after a minute even
// if it has not.
func TestGiveWay(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ behind, want time.Duration }{
		"settling keeps up":            {0, 0},
		"settling catches up":          {4500 * time.Millisecond, 5 * time.Second},
		"settling stays behind":        {time.Hour, time.Minute},
		"nobody knows how settling is": {-1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				behind := func(context.Context) bool { return time.Since(start) < tc.behind }
				if tc.behind < 0 {
					behind = nil
				}
				giveWay(t.Context(), behind, time.Sleep)
				if got := time.Since(start); got != tc.want {
					t.Errorf("it rested %v, want %v", got, tc.want)
				}
			})
		})
	}
}

func TestGivingWayEndsWithTheProgram(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	rests := 0
	giveWay(ctx, func(context.Context) bool { return true }, func(time.Duration) { rests++; cancel() })
	if rests != 1 {
		t.Errorf("it rested %d times, want once", rests)
	}
}

// A job that nothing is asked of does no turn and keeps no lead; one without a lead
// is done by each applier.
func TestAJobIsDoneWhileItIsWanted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()
		start, asked, turns, resigned := time.Now(), 0, 0, 0
		err := Job{
			Every: 2 * time.Second, Resigned: func() { resigned++ },
			Wanted: func() bool { asked++; return time.Since(start) >= 5*time.Second },
			Turn: func(_ context.Context, lead *postgres.Lead) (time.Duration, error) {
				if turns++; lead != nil || time.Since(start) < 5*time.Second {
					t.Errorf("a turn after %s, with the lead %v", time.Since(start), lead)
				}
				return time.Second, nil
			},
		}.Run(ctx)
		if err != nil || asked != 7 || turns != 4 || resigned != 4 {
			t.Errorf("asked %d times, %d turns, resigned %d times, %v; want 7, 4 and 4", asked, turns, resigned, err)
		}
	})
}
