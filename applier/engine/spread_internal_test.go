package engine

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// A partition has more lanes, and fewer, only while none of its deliveries is in a lane.
// Otherwise one user's deliveries would be in two.
func TestLanesChangeWhileTheyAreEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{Lanes: 8})
		p := &partition{width: 1, engine: e, changed: make(chan struct{}, 1)}
		p.ctx, p.cancel = context.WithCancel(t.Context())
		defer p.cancel()
		inLanes := func(n int) {
			p.flow.mu.Lock()
			p.flow.deliveries = n
			p.flow.mu.Unlock()
		}
		// decide has the partition decide with so many deliveries in lanes, and these settled.
		decide := func(deliveries, want int, when string) {
			t.Helper()
			before := p.width
			inLanes(deliveries)
			go p.spread(time.Now())
			synctest.Wait()
			if deliveries > 0 && p.width != before {
				t.Errorf("%s: the lanes change while they have deliveries", when)
			}
			inLanes(0)
			p.changed <- struct{}{}
			synctest.Wait()
			select {
			case <-p.changed: // nobody waited
			default:
			}
			if p.width != want {
				t.Errorf("%s: %d lanes, want %d", when, p.width, want)
			}
		}
		const crowd = soleLanes*soleDeliveries - batchDeliveries
		decide(spreadDeliveries-1, 1, "with work for one")
		decide(spreadDeliveries, 2, "with work for more")
		decide(crowd-1, 2, "with work for two")
		decide(crowd, 8, "with work for all")
		decide(0, 8, "when there is none for a moment")
		e.neighbours.saw("one", false, time.Now())
		e.neighbours.saw("other", false, time.Now())
		decide(crowd, 2, "next to a neighbour")
		time.Sleep(neighbourFor)
		decide(crowd, 8, "when the neighbour has been quiet")
		time.Sleep(lately)
		decide(spreadDeliveries, 2, "with work for two again")
		p.flow.bytes = flowBytes - batchBytes
		decide(spreadDeliveries, 8, "with bodies that leave no room")
		p.flow.bytes = 0
		time.Sleep(lately)
		decide(spreadDeliveries, 2, "with small bodies again")
		p.flow.changes = flowChanges - batchChanges
		decide(spreadDeliveries, 8, "with changes that leave no room")
		p.flow.changes = 0
		time.Sleep(lately)
		decide(spreadDeliveries-1, 1, "with work for one again")
	})
}

// Partitions have different homes as long as there are lanes.
func TestPartitionsShareTheLanes(t *testing.T) {
	t.Parallel()
	e := &Engine{lanes: make([]*lane, 2), partitions: map[delivery.Partition]*partition{}}
	for i, want := range []int{0, 1, 0, 1} {
		home := e.quietestLane()
		if home != want {
			t.Errorf("the home of partition %d is lane %d, want %d", i, home, want)
		}
		e.partitions[delivery.Partition{Index: i}] = &partition{home: home}
	}
	delete(e.partitions, delivery.Partition{Index: 1})
	if home := e.quietestLane(); home != 1 {
		t.Errorf("the home of the next one is lane %d, want 1", home)
	}
}

// A partition that is alone has room for more. Several have no more together, but two
// batches each, and so has one next to a neighbour that another applier settles.
func TestTheRoomOfAPartition(t *testing.T) {
	t.Parallel()
	one, other := &partition{}, &partition{}
	e := New(Options{Lanes: 8})
	e.partitions[delivery.Partition{Index: 0}], e.partitions[delivery.Partition{Index: 1}] = one, other
	want := func(want int, when string) {
		t.Helper()
		if got := e.room(one); got != want {
			t.Errorf("%s there is room for %d, want %d", when, got, want)
		}
	}
	want(soleLanes*soleDeliveries, "alone")
	other.flow.deliveries = soleDeliveries
	want(3*soleDeliveries, "next to a batch")
	other.flow.deliveries = soleLanes * soleDeliveries
	want(2*soleDeliveries, "next to a full partition")
	other.flow.deliveries = 0
	e.neighbours.saw("one", false, time.Now())
	e.neighbours.saw("other", false, time.Now())
	want(2*soleDeliveries, "next to a neighbour with another applier")
	e = New(Options{Lanes: 2})
	want(2*soleDeliveries, "alone with two lanes")
}

// A partition has its home, or lanes from its home on. Two have little in common as long
// as there are lanes.
func TestTheLanesOfAPartition(t *testing.T) {
	t.Parallel()
	e := New(Options{Lanes: 6})
	for _, tc := range []struct {
		home, width int
		want        []int
	}{
		{2, 1, []int{2}},
		{0, 2, []int{0, 3}},
		{4, 2, []int{4, 1}},
		{1, 6, []int{1, 2, 3, 4, 5, 0}},
	} {
		p := &partition{engine: e, home: tc.home, width: tc.width}
		var got []int
		for _, l := range p.lanes() {
			got = append(got, slices.Index(e.lanes, l))
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("home %d, width %d: lanes %v, want %v", tc.home, tc.width, got, tc.want)
		}
	}
}
