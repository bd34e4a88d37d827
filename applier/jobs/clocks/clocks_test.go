package clocks_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/jobs/clocks"
)

func TestClocks(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	var ahead time.Duration
	var away error
	var log bytes.Buffer
	metrics := prometheus.NewRegistry()
	c := clocks.New(map[string]clocks.Clock{
		"applier":    func(context.Context) (time.Time, error) { return now, nil },
		"broker":     func(context.Context) (time.Time, error) { return now.Add(time.Second), nil },
		"postgresql": func(context.Context) (time.Time, error) { return now.Add(ahead), away },
	}, zerolog.New(&log), metrics)
	for _, tc := range []struct {
		ahead time.Duration
		agree bool
		lines int
	}{
		{0, true, 0},
		{5 * time.Minute, true, 0},
		{5*time.Minute + time.Second, false, 1},
		{24 * 365 * time.Hour, false, 1}, // it was said
		{time.Minute, true, 1},
		{-5 * time.Minute, false, 2},
	} {
		ahead = tc.ahead
		agree, err := c.Agree(t.Context())
		if err != nil || agree != tc.agree || strings.Count(log.String(), "\n") != tc.lines {
			t.Errorf("%v ahead: they agree: %v, %v, and it said %s", tc.ahead, agree, err, log.String())
		}
	}
	if !strings.Contains(log.String(), `"applier":"2026-01-01T12:00:00Z","broker":"2026-01-01T12:00:01Z","postgresql":"2026-01-01T12:05:01Z"`) {
		t.Errorf("it said %s", log.String())
	}
	if n, err := testutil.GatherAndCount(metrics, "coinhook_clock_difference_seconds"); n != 1 || err != nil {
		t.Errorf("%d metrics, %v", n, err)
	}
	away = errors.New("away")
	if agree, err := c.Agree(t.Context()); agree || !errors.Is(err, away) {
		t.Errorf("without one of them they agree: %v, %v", agree, err)
	}
}
