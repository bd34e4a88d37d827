package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"none", nil, 0},
		{"one", []float64{3}, 3},
		{"odd", []float64{9, 1, 3}, 3},
		{"even", []float64{9, 1, 3, 5}, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := median(test.values); got != test.want {
				t.Errorf("median = %v, want %v", got, test.want)
			}
		})
	}
}

func TestPercentile(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, test := range []struct {
		name   string
		values []time.Duration
		p      int
		want   time.Duration
	}{
		{"none", nil, 50, 0},
		{"one", hundred[:1], 99, 1},
		{"half_of_two", hundred[:2], 50, 1},
		{"half_of_three", hundred[:3], 50, 2},
		{"half", hundred, 50, 50},
		{"99_of_100", hundred, 99, 99},
		{"99_of_99", hundred[:99], 99, 99},
		{"all", hundred, 100, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := percentile(test.values, test.p); got != test.want {
				t.Errorf("percentile = %d, want %d", got, test.want)
			}
		})
	}
}

func TestLatencyIsOfTheSortedValues(t *testing.T) {
	t.Parallel()
	got := latencyOf([]time.Duration{3 * time.Millisecond, time.Millisecond, 2500 * time.Microsecond})
	if want := (latency{2.5, 3}); got != want {
		t.Errorf("latency = %v, want %v", got, want)
	}
}

func TestDueKeepsTheRate(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	for _, test := range []struct {
		perSecond, k int
		want         time.Duration
	}{
		{500, 0, 0},
		{500, 1, 2 * time.Millisecond},
		{2000, 20_000, 10 * time.Second},
		{3, 3_000_000, 1_000_000 * time.Second}, // no drift
	} {
		if got := due(start, test.perSecond, test.k).Sub(start); got != test.want {
			t.Errorf("due(%d, %d) = %s, want %s", test.perSecond, test.k, got, test.want)
		}
	}
}

func TestFlatOutEndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := flatOut(t.Context(), 2, time.Minute, func(_ context.Context, worker int) error {
		if worker == 1 {
			return broken
		}
		return nil
	})
	if !errors.Is(err, broken) {
		t.Errorf("flatOut = %v, want %v", err, broken)
	}
}

func TestLongestGap(t *testing.T) {
	t.Parallel()
	if got := longestGap([]time.Duration{9, 4, 5}); got != 4 {
		t.Errorf("gap = %d, want the 4 before the first or between 5 and 9", got)
	}
	if got := longestGap([]time.Duration{6, 7}); got != 6 {
		t.Errorf("gap = %d, want the 6 before the first", got)
	}
}

func TestDrainsCountFromTheFirstEffect(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	effects := map[string]time.Time{"a": start, "b": start.Add(time.Second), "c": start.Add(time.Second), "d": start.Add(2 * time.Second)}
	if got := countFrom(effects, time.Time{}); got != 1.5 {
		t.Errorf("rate = %v, want 3 in 2 s", got)
	}
	if got := countFrom(effects, start); got != 1 {
		t.Errorf("rate after the start = %v, want 1 in 1 s", got)
	}
}

func TestBodiesHaveTheWantedSize(t *testing.T) {
	t.Parallel()
	for i := range users {
		for _, size := range []int{usualBody, largeBody} {
			if n := len(newBody(i, int64(1+i%9), size)); n != size {
				t.Fatalf("the body of user %d has %d bytes, want %d", i, n, size)
			}
		}
	}
}

func TestCommunitiesAreSpreadOverPartitions(t *testing.T) {
	t.Parallel()
	names := spread("bench", 8)
	for _, count := range []int{1, 2, 4, 8} {
		has := make([]int, count)
		for _, name := range names {
			for i := range has {
				if (delivery.Partition{Index: i, Count: count}).Has(delivery.SlotOf(name)) {
					has[i]++
				}
			}
		}
		for i, n := range has {
			if n != len(names)/count {
				t.Errorf("partition %d of %d has %d of %d communities", i, count, n, len(names))
			}
		}
	}
}
