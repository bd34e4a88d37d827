package history_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/postgres"
)

// store counts how often it was asked for each minute.
type store struct {
	mu    sync.Mutex
	asked map[time.Time]int
}

func (s *store) Minute(_ context.Context, at time.Time) (postgres.Minute, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[at]++
	return postgres.Minute{Webhooks: []postgres.MinuteOfWebhook{
		{WebhookID: "a", Webhook: "A", Success: 2, Failed: 1}, {WebhookID: "b", Webhook: "B", Success: 1},
	}}, nil
}

func (s *store) Findings(context.Context) ([]postgres.Finding, error) { return nil, nil }

// complete waits until all of the hour is known.
func complete(t *testing.T, s *history.Overview) history.Hour {
	t.Helper()
	for {
		hour, err := s.Hour(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(hour.Minutes, func(m history.Minute) bool { return !m.Known }) {
			return hour
		}
	}
}

func TestMinutesThatAreOverAreKept(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 30, 0, time.UTC)
	asked := &store{asked: map[time.Time]int{}}
	s := history.NewOverview(asked, func() time.Time { return now })
	hour := complete(t, s)
	if len(hour.Minutes) != 60 || !hour.Minutes[59].At.Equal(now.Truncate(time.Minute)) || hour.Success != 180 || hour.Failed != 60 {
		t.Errorf("%d minutes, %d success, %d failed", len(hour.Minutes), hour.Success, hour.Failed)
	}
	if len(hour.Failing) != 1 || hour.Failing[0] != (history.FailingWebhook{WebhookID: "a", Webhook: "A", Failed: 60, All: 180}) {
		t.Errorf("failing are %+v", hour.Failing)
	}
	now = now.Add(time.Minute)
	for minutes, twice := 0, 0; minutes != 61 || twice == 0; { // the youngest are looked at again
		complete(t, s)
		minutes, twice = asked.count(t, now)
	}
}

// count returns how many minutes were looked at, and how many twice.
func (s *store) count(t *testing.T, now time.Time) (minutes, twice int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, n := range s.asked {
		if n > 1 {
			twice++
			if now.Sub(at) > 5*time.Minute {
				t.Errorf("the minute %s was looked at %d times", at, n)
			}
		}
	}
	return len(s.asked), twice
}
