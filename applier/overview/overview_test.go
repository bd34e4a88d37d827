package overview_test

import (
	"context"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/overview"
	"github.com/coinhook/coinhook/applier/postgres"
)

// store counts how often it was asked for each minute.
type store map[time.Time]int

func (s store) Minute(_ context.Context, at time.Time) (postgres.Minute, error) {
	s[at]++
	return postgres.Minute{Webhooks: []postgres.MinuteOfWebhook{
		{WebhookID: "a", Webhook: "A", Success: 2, Failed: 1}, {WebhookID: "b", Webhook: "B", Success: 1},
	}}, nil
}

func (s store) Findings(context.Context) ([]postgres.Finding, error) { return nil, nil }

func TestMinutesThatAreOverAreKept(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 30, 0, time.UTC)
	asked := store{}
	s := overview.New(asked, func() time.Time { return now })
	hour, err := s.Hour(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(hour.Minutes) != 60 || !hour.Minutes[59].At.Equal(now.Truncate(time.Minute)) || hour.Success != 180 || hour.Failed != 60 {
		t.Errorf("%d minutes, %d success, %d failed", len(hour.Minutes), hour.Success, hour.Failed)
	}
	if len(hour.Failing) != 1 || hour.Failing[0] != (overview.Failing{WebhookID: "a", Webhook: "A", Failed: 60, All: 180}) {
		t.Errorf("failing are %+v", hour.Failing)
	}
	now = now.Add(time.Minute)
	if _, err := s.Hour(t.Context()); err != nil {
		t.Fatal(err)
	}
	twice := 0
	for at, n := range asked {
		if n > 1 {
			twice++
			if now.Sub(at) > 5*time.Minute {
				t.Errorf("the minute %s was looked at %d times", at, n)
			}
		}
	}
	if len(asked) != 61 || twice == 0 {
		t.Errorf("%d minutes were looked at, %d twice: want 61, the youngest twice", len(asked), twice)
	}
}
