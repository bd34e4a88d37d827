package jobs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/postgres"
)

// keys counts what is left, and fails as often as it is told to.
type keys struct {
	left, failures, calls int
	from                  []time.Time // of each call that did not fail
}

func (k *keys) DeleteKeys(_ context.Context, olderThan time.Duration, from time.Time, atMost int) (postgres.DeletedKeys, error) {
	k.calls++
	if k.failures > 0 {
		k.failures--
		return postgres.DeletedKeys{}, errors.New("away")
	}
	n := min(k.left, atMost)
	if olderThan != time.Hour {
		n = 0
	}
	k.left -= n
	k.from = append(k.from, from)
	return postgres.DeletedKeys{Count: n, More: n == atMost, Next: time.Unix(int64(len(k.from)), 0)}, nil
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

// Keys that stay are looked at once an hour, and others each minute.
func TestCleanerBeginsAgainOnceAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keys{}
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Minute)
		defer cancel()
		if err := jobs.CleanKeys(k, agreeing(true), time.Hour, zerolog.Nop()).Run(ctx); err != nil {
			t.Error(err)
		}
		begun := 0
		for i, from := range k.from {
			if from.IsZero() {
				begun++
			} else if !from.Equal(time.Unix(int64(i), 0)) {
				t.Fatalf("call %d begins at %s", i, from)
			}
		}
		if begun != 3 || len(k.from) < 145 {
			t.Errorf("of %d calls %d begin with the oldest keys, want 3", len(k.from), begun)
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
