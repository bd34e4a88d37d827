package leader

import (
	"errors"
	"testing"
	"time"
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
