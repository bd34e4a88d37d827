package appliertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Running runs f until the test ends, or stop is called. An error of f fails the test.
func Running(tb testing.TB, f func(context.Context) error) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("running: %v", err)
		}
	})
	tb.Cleanup(stop)
	return stop
}

// Eventually waits until the condition holds. It pauses three times as long as the check
// took: one that asks servers a lot leaves most of the time to what it waits for.
func Eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.After(time.Minute)
	for {
		began := time.Now()
		if holds() {
			return
		}
		select {
		case <-time.After(min(max(10*time.Millisecond, 3*time.Since(began)), 500*time.Millisecond)):
		case <-deadline:
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

// Metric is the first value of a metric: of a histogram it is how many were observed.
func Metric(tb testing.TB, metrics prometheus.Gatherer, name string) float64 {
	tb.Helper()
	families, err := metrics.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		m := f.GetMetric()[0]
		return m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	tb.Fatalf("no metric %s", name)
	return 0
}
