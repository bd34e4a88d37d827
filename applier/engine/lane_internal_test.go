package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A feeder may put work into a lane after the partition was dropped. What was before it
// is forgotten then, so it must not be settled.
func TestALaneTakesNothingOfADroppedPartition(t *testing.T) {
	t.Parallel()
	l := newLane(nil)
	put := func(p *partition) {
		l.put(p, []work{{Item: applier.Item{Delivery: &delivery.Delivery{}}, partition: p}}, false)
	}
	dropped, kept := &partition{}, &partition{}
	dropped.ctx, dropped.cancel = context.WithCancel(t.Context())
	kept.ctx, kept.cancel = context.WithCancel(t.Context())
	defer kept.cancel()
	put(dropped)
	dropped.cancel()
	l.forget(dropped)
	put(dropped)
	put(kept)
	if batch := l.take(); len(batch) != 1 || batch[0].partition != kept {
		t.Errorf("%d deliveries are taken, want that of the other partition", len(batch))
	}
	if batch := l.take(); len(batch) != 0 {
		t.Errorf("%d more are taken", len(batch))
	}
}

// The only partition with work gets large transactions. Two share smaller ones, also for
// a while after one of them has none left: more of it may come at any time.
func TestTransactionsAreSmallWherePartitionsShare(t *testing.T) {
	t.Parallel()
	l, now := newLane(nil), time.Now()
	for _, step := range []struct {
		name   string
		queues int
		after  time.Duration
		want   int
	}{
		{"alone", 1, 0, soleDeliveries},
		{"with another", 2, 0, batchDeliveries},
		{"alone just after", 1, lately - 1, batchDeliveries},
		{"alone long after", 1, 1, soleDeliveries},
	} {
		now = now.Add(step.after)
		l.queues = make([]*queue, step.queues)
		if got := l.room(now); got != step.want {
			t.Errorf("%s: %d deliveries, want %d", step.name, got, step.want)
		}
	}
}

// A partition whose deliveries make many changes gets small transactions, in which
// another one has its part sooner or later. One delivery is settled however large it is.
func TestATransactionHasOnlySoManyChanges(t *testing.T) {
	t.Parallel()
	l := newLane(nil)
	work := func(p *partition, n, changes int) (all []work) {
		for range n {
			all = append(all, work1(p, changes))
		}
		return all
	}
	heavy, light := &partition{ctx: t.Context()}, &partition{ctx: t.Context()}
	l.put(heavy, work(heavy, 3, batchChanges+1), false)
	l.put(heavy, work(heavy, 20, batchChanges/4), false)
	l.put(light, work(light, 10, 1), false)
	var sizes, lights []int
	for batch := l.take(); len(batch) > 0; batch = l.take() {
		n := 0
		for _, w := range batch {
			if w.partition == light {
				n++
			}
		}
		sizes, lights = append(sizes, len(batch)), append(lights, n)
	}
	if got, want := fmt.Sprint(sizes, lights), "[1 11 1 4 4 4 4 4] [0 10 0 0 0 0 0 0]"; got != want {
		t.Errorf("transactions, and what the other has of them: %s, want %s", got, want)
	}
}

// As many spread transactions run at a time as there are lanes. Once another community has
// a delivery, it is a quarter of that, at least two.
func TestSpreadTransactionsGiveWayToNeighbours(t *testing.T) {
	t.Parallel()
	for lanes, shared := range map[int]int{1: 1, 2: 2, 3: 2, 8: 2, 16: 4} {
		e := New(Options{Lanes: lanes})
		e.neighbours.say = func(string) {}
		running := func() (n int) {
			for e.slots.TryAcquire(e.slotsOfOne(time.Now())) {
				n++
			}
			return n
		}
		if n := running(); n != lanes {
			t.Errorf("%d of %d lanes run where a community is alone", n, lanes)
		}
		e.slots.Release(e.allSlots())
		e.neighbours.saw("one", true, time.Now())
		e.neighbours.saw("other", false, time.Now())
		if n := running(); n != shared {
			t.Errorf("%d of %d lanes run next to a neighbour, want %d", n, lanes, shared)
		}
	}
}

func work1(p *partition, changes int) work {
	return work{Item: applier.Item{Delivery: &delivery.Delivery{}}, partition: p, changes: changes}
}
