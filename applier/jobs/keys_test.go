package jobs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/jobs"
)

// keys counts what is left, and fails as often as it is told to.
type keys struct{ left, failures, calls int }

func (k *keys) DeleteKeys(_ context.Context, olderThan time.Duration, atMost int) (int, error) {
	k.calls++
	if k.failures > 0 {
		k.failures--
		return 0, errors.New("away")
	}
	n := min(k.left, atMost)
	if olderThan != time.Hour {
		n = 0
	}
	k.left -= n
	return n, nil
}

func TestCleaner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keys{left: 1300, failures: 1}
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		if err := jobs.CleanKeys(k, agreeing(true), time.Hour, zerolog.Nop()).Run(ctx); err != nil {
			t.Error(err)
		}
		// One call fails; a minute later three delete all, in small transactions.
		if k.left != 0 || k.calls != 4 {
			t.Errorf("%d keys are left after %d calls", k.left, k.calls)
		}
	})
}

type agreeing bool

func (a agreeing) Agree(context.Context) (bool, error) { return bool(a), nil }

// While a clock may be wrong no key is deleted.
func TestNoKeyIsDeletedByAClockThatMayBeWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keys{left: 10}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := jobs.CleanKeys(k, agreeing(false), time.Hour, zerolog.Nop()).Run(ctx); err != nil {
			t.Error(err)
		}
		if k.calls != 0 {
			t.Errorf("%d keys are left after %d calls", k.left, k.calls)
		}
	})
}
