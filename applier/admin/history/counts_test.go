package history_test

import (
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin/history"
)

func TestCounts(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.publish("a", "b", "a")
	i.settle()
	now := time.Now()
	counts, err := i.with(nothingIsOverdue).Counts(t.Context(), history.CountFilter{}, now.Add(-10*time.Minute), now.Add(time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(counts.Steps); n != 12 || !counts.Steps[0].At.Equal(now.Add(-10*time.Minute).Truncate(time.Minute)) {
		t.Errorf("there are %d steps, the first one at %s", n, counts.Steps[0].At)
	}
	if counts.Total.All() != 3 || counts.Total.P99() == 0 || len(counts.Webhooks) != 2 || counts.Webhooks[0].All() != 2 {
		t.Errorf("it counts %+v", counts)
	}
	if _, err := i.with(nothingIsOverdue).Counts(t.Context(), history.CountFilter{}, time.Time{}, now, time.Minute); err == nil {
		t.Error("it counts since the year 1")
	}
	for _, step := range []time.Duration{0, 7 * time.Minute, 90 * time.Second, 48 * time.Hour} {
		if _, err := i.with(nothingIsOverdue).Counts(t.Context(), history.CountFilter{}, now.Add(-time.Hour), now, step); err == nil {
			t.Errorf("it counts by %s", step)
		}
	}
}
