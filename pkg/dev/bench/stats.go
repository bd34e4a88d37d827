package main

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// median of an even number of values is the mean of the two in the middle.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentile gives the smallest value that at least p of 100 values do not
// exceed; values are sorted.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}

// latency is a distribution in milliseconds.
type latency struct{ p50, p99 float64 }

func latencyOf(values []time.Duration) latency {
	slices.Sort(values)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return latency{ms(percentile(values, 50)), ms(percentile(values, 99))}
}

// due is when the k-th delivery is to be sent, at so many a second.
func due(start time.Time, rate, k int) time.Time {
	return start.Add(time.Duration(int64(k) * int64(time.Second) / int64(rate)))
}

// longestGap is the longest time between two of the times, and before the first.
func longestGap(times []time.Duration) (gap time.Duration) {
	before := time.Duration(0)
	for _, at := range slices.Sorted(slices.Values(times)) {
		gap = max(gap, at-before)
		before = at
	}
	return gap
}

// flatOut has n workers do their work again and again for d. It returns how
// often it was done a second.
func flatOut(ctx context.Context, n int, d time.Duration, work func(ctx context.Context, worker int) error) (float64, error) {
	g, ctx := errgroup.WithContext(ctx)
	var done atomic.Int64
	start := time.Now()
	for worker := range n {
		g.Go(func() error {
			mine := int64(0)
			defer func() { done.Add(mine) }()
			for time.Since(start) < d && ctx.Err() == nil {
				if err := work(ctx, worker); err != nil {
					return err
				}
				mine++
			}
			return context.Cause(ctx)
		})
	}
	err := g.Wait()
	return float64(done.Load()) / time.Since(start).Seconds(), err
}
