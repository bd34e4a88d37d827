package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// part is a partition of a generation that begins behind a message.
func part(generation, index, count int, beginsAfter, floor uint64) PartitionState {
	return PartitionState{
		Partition:   delivery.Partition{Generation: generation, Index: index, Count: count},
		BeginsAfter: beginsAfter, Floor: floor,
	}
}

func TestADeliveryIsPendingBeyondTheFloorOfItsOwnPartition(t *testing.T) {
	t.Parallel()
	two := []PartitionState{part(1, 0, 2, 0, 5), part(1, 1, 2, 0, 9)}
	// A change of the number of partitions: 2 up to message 20, then 4.
	changing := []PartitionState{
		part(1, 0, 2, 0, 20), part(1, 1, 2, 0, 15),
		part(2, 0, 4, 20, 20), part(2, 1, 4, 20, 20), part(2, 2, 4, 20, 20), part(2, 3, 4, 20, 20),
	}
	changed := []PartitionState{part(2, 0, 2, 20, 25), part(2, 1, 2, 20, 20)}
	for name, tc := range map[string]struct {
		partitions []PartitionState
		sequence   uint64
		slot       int
		want       bool
	}{
		"at the floor":                        {two, 5, 1, false},
		"behind it":                           {two, 6, 1, true},
		"before the floor of another":         {two, 6, 2, false},
		"behind the highest floor":            {two, 10, 2, true},
		"of the old generation, settled":      {changing, 20, 1, false},
		"of the old generation":               {changing, 16, 2, true},
		"of a generation that has not begun":  {changing, 21, 1, true},
		"the older one is finished and gone":  {changed, 20, 2, false},
		"the newer one is behind its own":     {changed, 26, 1, true},
		"the newer one has settled it":        {changed, 25, 1, false},
		"the partition's consumer is missing": {changed[:1], 21, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := Pending{Extent: Extent{6, 30}, Partitions: tc.partitions}
			if got := p.Beyond(tc.sequence, tc.slot); got != tc.want {
				t.Errorf("message %d, slot %d: %v", tc.sequence, tc.slot, got)
			}
		})
	}
}

func TestTheExtentOfAPartitionEndsWithItsGeneration(t *testing.T) {
	t.Parallel()
	p := Pending{Extent: Extent{Last: 30}, Partitions: []PartitionState{
		part(1, 0, 2, 0, 20), part(1, 1, 2, 0, 15), part(2, 0, 1, 20, 20), part(3, 0, 1, 25, 28),
	}}
	want := []Extent{{21, 20}, {16, 20}, {21, 25}, {29, 30}}
	for i := range want {
		if got := p.extentOf(i); got != want[i] {
			t.Errorf("of %s: %v, want %v", p.Partitions[i].Partition, got, want[i])
		}
	}
}

func TestFate(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	// Two partitions of 100 messages: slot 1 is in the first, slot 2 in the second.
	with := func(change func(p *Pending)) Pending {
		p := Pending{Extent: Extent{11, 100}, At: at, Partitions: []PartitionState{part(1, 0, 2, 0, 10), part(1, 1, 2, 0, 20)}}
		for i := range p.Partitions {
			s := &p.Partitions[i]
			s.Delivered, s.AckPending, s.Waiting, s.DeliveredAt = 50, 30, 1, at.Add(-time.Second)
		}
		change(&p)
		return p
	}
	working := with(func(*Pending) {})
	retrying := with(func(p *Pending) {
		p.Troubles = []Trouble{{Retried: &TroubleRetried{Since: at, Attempts: 9, Why: "PostgreSQL is away", First: 11, Last: 15, Slots: []int{1, 3}}}}
	})
	general := with(func(p *Pending) {
		p.Troubles = []Trouble{{Retried: &TroubleRetried{Since: at, Attempts: 9, Why: "PostgreSQL is away"}}}
	})
	nobody := with(func(p *Pending) {
		for i := range p.Partitions {
			p.Partitions[i].Waiting, p.Partitions[i].AckPending, p.Partitions[i].Delivered = 0, 0, p.Partitions[i].Floor
		}
	})
	unowned := with(func(p *Pending) { // an applier without PostgreSQL owns nothing
		*p = nobody
		p.Troubles = general.Troubles
	})
	died := with(func(p *Pending) {
		for i := range p.Partitions {
			p.Partitions[i].Waiting, p.Partitions[i].AckPending = 0, 0
		}
	})
	busy := with(func(p *Pending) { p.Partitions[0].Waiting, p.Partitions[1].Waiting = 0, 0 })
	stalled := with(func(p *Pending) { p.Stall = &Stall{Partition: p.Partitions[1].Partition, Why: "it acks none"} })
	next := with(func(p *Pending) {
		p.Partitions = append(p.Partitions, part(2, 0, 1, 60, 60))
	})
	const behind = "waits behind deliveries that are tried again: PostgreSQL is away"
	for name, tc := range map[string]struct {
		p        Pending
		sequence uint64
		slot     int
		want     Fate
	}{
		"with an applier":                 {working, 30, 1, Fate{State: delivery.StateHandedOut}},
		"queued":                          {working, 60, 1, Fate{State: delivery.StateQueued}},
		"tried again":                     {retrying, 12, 3, Fate{delivery.StateRetried, at, 9, "PostgreSQL is away"}},
		"behind it":                       {retrying, 16, 1, Fate{State: delivery.StateHandedOut, Why: behind}},
		"in the same message, of others":  {retrying, 12, 2, Fate{State: delivery.StateHandedOut}},
		"queued behind it":                {retrying, 60, 1, Fate{State: delivery.StateQueued, Why: behind}},
		"queued in another partition":     {retrying, 60, 2, Fate{State: delivery.StateQueued}},
		"while no delivery in particular": {general, 30, 2, Fate{State: delivery.StateHandedOut, Why: "PostgreSQL is away"}},
		"that has no owner for that":      {unowned, 60, 2, Fate{delivery.StateRetried, at, 9, "PostgreSQL is away"}},
		"queued without an applier":       {nobody, 60, 2, Fate{State: delivery.StateQueued, Why: NobodyAsks}},
		"left by one that died":           {died, 30, 2, Fate{State: delivery.StateHandedOut, Why: NobodyAsks}},
		"with one that is busy":           {busy, 30, 2, Fate{State: delivery.StateHandedOut}},
		"with one that stands still":      {stalled, 30, 2, Fate{State: delivery.StateHandedOut, Why: "it acks none"}},
		"another partition goes on":       {stalled, 30, 1, Fate{State: delivery.StateHandedOut}},
		"of the next generation":          {next, 70, 2, Fate{State: delivery.StateQueued, Why: "waits until generation 1 of the partitions is settled"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tc.p.Fate(tc.sequence, tc.slot)); diff != "" {
				t.Error(diff)
			}
			if got := tc.p.InTheWay(); tc.want.Why != "" && tc.want.State != delivery.StateRetried && got != tc.want.Why {
				t.Errorf("in the way of all is %q, want %q", got, tc.want.Why)
			}
		})
	}
}

func TestAnApplierAsksWhereSomethingWaits(t *testing.T) {
	t.Parallel()
	idle, asked, left := part(1, 0, 3, 0, 9), part(1, 1, 3, 0, 5), part(1, 2, 3, 0, 5)
	idle.Waiting, asked.Waiting = 1, 1
	for name, tc := range map[string]struct {
		p    Pending
		want bool
	}{
		"nothing waits":                   {Pending{Extent: Extent{10, 9}, Partitions: []PartitionState{idle}}, false},
		"where something waits one asks":  {Pending{Extent: Extent{6, 9}, Partitions: []PartitionState{asked, left}}, false},
		"one asks where nothing does":     {Pending{Extent: Extent{6, 9}, Partitions: []PartitionState{idle, left}}, true},
		"one says that it tries it again": {Pending{Extent: Extent{6, 9}, Partitions: []PartitionState{left}, Troubles: []Trouble{{}}}, false},
	} {
		if got := tc.p.NoApplier(); got != tc.want {
			t.Errorf("%s: there is no applier: %v", name, got)
		}
	}
}
