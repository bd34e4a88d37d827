package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// A partition is spread over all lanes, and gathered again, only while none of its
// deliveries is in a lane. Otherwise one user's deliveries would be in two.
func TestAPartitionIsSpreadWhileItsLanesAreEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &partition{engine: &Engine{lanes: make([]*lane, 6)}, changed: make(chan struct{}, 1)}
		p.ctx, p.cancel = context.WithCancel(t.Context())
		defer p.cancel()
		inLanes := func(n int) {
			p.flow.mu.Lock()
			p.flow.deliveries = n
			p.flow.mu.Unlock()
			p.changed <- struct{}{}
		}
		decide := func() { // as far as it gets
			go p.spread(time.Now())
			synctest.Wait()
		}
		inLanes(spreadDeliveries - 1)
		<-p.changed
		if decide(); p.isSpread {
			t.Error("a partition with little work is spread")
		}
		inLanes(spreadDeliveries)
		<-p.changed
		if decide(); p.isSpread {
			t.Error("a partition is spread while its home has deliveries")
		}
		inLanes(1)
		if synctest.Wait(); p.isSpread {
			t.Error("a partition is spread while its home has a delivery")
		}
		inLanes(0)
		if synctest.Wait(); !p.isSpread {
			t.Fatal("a busy partition is not spread")
		}
		if decide(); !p.isSpread {
			t.Error("a partition is gathered at once when it is empty for a moment")
		}
		time.Sleep(lately)
		inLanes(1)
		<-p.changed
		if decide(); !p.isSpread {
			t.Error("a partition is gathered while a lane has a delivery")
		}
		inLanes(0)
		<-p.changed
		if decide(); p.isSpread {
			t.Error("a quiet partition stays spread")
		}
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

// A partition that is alone has a batch for each lane. Several have no more together, but
// two batches each.
func TestTheRoomOfAPartition(t *testing.T) {
	t.Parallel()
	one, other := &partition{}, &partition{}
	e := &Engine{lanes: make([]*lane, 6), partitions: map[delivery.Partition]*partition{{Index: 0}: one, {Index: 1}: other}}
	for _, tc := range []struct{ ofOther, want int }{
		{0, 6 * soleDeliveries},
		{soleDeliveries, 5 * soleDeliveries},
		{6 * soleDeliveries, 2 * soleDeliveries},
	} {
		other.flow.deliveries = tc.ofOther
		if got := e.room(one); got != tc.want {
			t.Errorf("next to %d deliveries there is room for %d, want %d", tc.ofOther, got, tc.want)
		}
	}
}
