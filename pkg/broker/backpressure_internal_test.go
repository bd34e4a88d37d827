package broker

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/delivery"
)

var (
	firstHalf  = delivery.Partition{Generation: 1, Index: 0, Count: 2} // odd slots
	secondHalf = delivery.Partition{Generation: 1, Index: 1, Count: 2}
)

// storing is a backpressure whose publisher has stored a message of 10 deliveries in slot
// 1 every 10 ms, with the sequences 1 to 100: a thousand deliveries in a second.
func storing(t *testing.T) (b *backpressure, now time.Time) {
	t.Helper()
	b, now = newBackpressure(), time.Now()
	for sequence := range uint64(100) {
		b.hasStored(entriesIn(1, 10), sequence+1, now)
		now = now.Add(10 * time.Millisecond)
	}
	return b, now
}

func entriesIn(slot, n int) []*entry {
	batch := make([]*entry, n)
	for i := range batch {
		batch[i] = &entry{}
		batch[i].slot = slot
	}
	return batch
}

// An owner that settles 500 a second has 10 deliveries stored every 20 ms, and a little
// less.
func TestPublishersKeepToThePaceOfTheAppliers(t *testing.T) {
	t.Parallel()
	b, now := storing(t)
	b.settled(firstHalf, 10, now)
	if hold := b.hold(10, now); hold != 0 {
		t.Errorf("with one floor %v: nobody knows the pace", hold)
	}
	now = now.Add(100 * time.Millisecond)
	b.settled(firstHalf, 15, now)
	hold := b.hold(10, now)
	if want := time.Duration(catchUp * float64(20*time.Millisecond)); (hold - want).Abs() > time.Microsecond {
		t.Errorf("hold %v, want %v", hold, want)
	}
	if hold := b.hold(256, now); hold != holdMost {
		t.Errorf("a full message is held for %v, want %v", hold, holdMost)
	}
}

func TestPublishersAreNotHeld(t *testing.T) {
	t.Parallel()
	for name, tell := range map[string]func(b *backpressure, now *time.Time){
		"nothing is told":       func(*backpressure, *time.Time) {},
		"all is settled":        func(b *backpressure, now *time.Time) { tellTwice(b, firstHalf, 99, 100, now) },
		"another partition's":   func(b *backpressure, now *time.Time) { tellTwice(b, secondHalf, 10, 15, now) },
		"stored long ago":       func(b *backpressure, now *time.Time) { b.marks = b.marks[50:]; tellTwice(b, firstHalf, 10, 15, now) },
		"the owner has stalled": func(b *backpressure, now *time.Time) { tellTwice(b, firstHalf, 10, 10, now) },
		"a former owner tells":  func(b *backpressure, now *time.Time) { tellTwice(b, firstHalf, 15, 10, now) },
		"the owner tells no other": func(b *backpressure, now *time.Time) {
			tellTwice(b, firstHalf, 10, 15, now)
			*now = now.Add(time.Second)
		},
		"the owner has caught up":    func(b *backpressure, now *time.Time) { tellTwice(b, firstHalf, 10, 100, now) },
		"nothing was stored by this": func(b *backpressure, now *time.Time) { *b = *newBackpressure(); tellTwice(b, firstHalf, 10, 15, now) },
	} {
		t.Run(name, func(t *testing.T) {
			b, now := storing(t)
			tell(b, &now)
			if hold := b.hold(10, now); hold != 0 {
				t.Errorf("held for %v", hold)
			}
		})
	}
}

func tellTwice(b *backpressure, p delivery.Partition, first, second uint64, now *time.Time) {
	b.settled(p, first, *now)
	*now = now.Add(50 * time.Millisecond)
	b.settled(p, second, *now)
}

// The slowest owner counts, whichever tells first.
func TestTheSlowestOwnerSetsThePace(t *testing.T) {
	t.Parallel()
	b, now := storing(t)
	b.hasStored(entriesIn(2, 1), 101, now)
	for floor := range uint64(3) {
		b.settled(firstHalf, 10+2*floor, now)
		b.settled(secondHalf, 10+floor, now)
		now = now.Add(100 * time.Millisecond)
	}
	slow := b.hold(1, now)
	delete(b.floors, secondHalf)
	if fast := b.hold(1, now); fast == 0 || (slow-2*fast).Abs() > time.Microsecond {
		t.Errorf("held for %v by both and %v by the faster one", slow, fast)
	}
}

// Of a long backlog older marks are fewer. The pace stays known as long as they say how
// many deliveries a message had.
func TestALongBacklogHasAPace(t *testing.T) {
	t.Parallel()
	const messages = 20 * marksMost
	b, now := newBackpressure(), time.Now()
	for sequence := range uint64(messages) {
		deliveries := 10
		if sequence < messages-3000 { // more than 30 s ago
			deliveries = 90
		}
		b.hasStored(entriesIn(1, deliveries), sequence+1, now)
		now = now.Add(markEvery)
	}
	paceAt := func(floor uint64) time.Duration {
		clear(b.floors)
		b.settled(firstHalf, floor, now)
		b.settled(firstHalf, floor+100, now.Add(200*time.Millisecond))
		return b.hold(100, now.Add(200*time.Millisecond))
	}
	if hold, want := paceAt(messages-2000), time.Duration(catchUp*float64(20*time.Millisecond)); (hold - want).Abs() > time.Millisecond {
		t.Errorf("20 s ago: hold %v, want %v", hold, want)
	}
	if hold := paceAt(1000); hold != 0 {
		t.Errorf("where nobody knows the messages: hold %v", hold)
	}
}

// A stream that was made again counts from 1. Nothing is known of it yet.
func TestFloorsOfAnotherStreamHoldNobody(t *testing.T) {
	t.Parallel()
	b, now := storing(t)
	tellTwice(b, firstHalf, 10, 15, &now)
	b.hasStored(entriesIn(1, 10), 1, now)
	tellTwice(b, firstHalf, 10, 15, &now)
	if hold := b.hold(10, now); hold != 0 || len(b.marks) != 1 {
		t.Errorf("held for %v with %d marks", hold, len(b.marks))
	}
}

func FuzzParseFloor(f *testing.F) {
	f.Add(floorText(secondHalf, 1<<40))
	f.Add([]byte("1 4 4 7"))
	f.Add([]byte("1 -1 4 7"))
	f.Add([]byte("1 0 257 7"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		p, floor, ok := parseFloor(text)
		if !ok {
			return
		}
		if again, same, ok := parseFloor(floorText(p, floor)); !ok || again != p || same != floor {
			t.Errorf("%q is read as %+v %d, which is written as %q", text, p, floor, floorText(p, floor))
		}
		if p.Index < 0 || p.Index >= p.Count || p.Count > delivery.Slots {
			t.Errorf("%q is read as %+v", text, p)
		}
	})
}

// Memory is bounded, whatever is stored and told, and nobody is held for long.
func TestBackpressureIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b, now, sequence := newBackpressure(), time.Now(), uint64(0)
		for range rapid.IntRange(1, 3000).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "ms")) * time.Millisecond)
			if rapid.Bool().Draw(t, "store") {
				sequence += rapid.Uint64Range(1, 3).Draw(t, "by all")
				b.hasStored(entriesIn(rapid.IntRange(0, 3).Draw(t, "slot"), rapid.IntRange(1, 4).Draw(t, "deliveries")), sequence, now)
			} else {
				b.settled(rapid.SampledFrom([]delivery.Partition{firstHalf, secondHalf}).Draw(t, "partition"), rapid.Uint64Range(0, sequence+1).Draw(t, "floor"), now)
			}
			if hold := b.hold(rapid.IntRange(1, maxBatchDeliveries).Draw(t, "before"), now); hold < 0 || hold > holdMost {
				t.Fatalf("held for %v", hold)
			}
			if len(b.marks) > marksMost {
				t.Fatalf("%d marks", len(b.marks))
			}
			for _, floors := range b.floors {
				if span := now.Sub(floors[0].at); span > paceOver+floorCountsFor {
					t.Fatalf("a floor of %v ago", span)
				}
			}
		}
	})
}

// A delivery is held for holdMost, and no longer, or until more wait than fit into a message.
func TestADeliveryIsHeldOnlySoLong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		waited   time.Duration // the first
		deadline time.Duration // of senders, 0 for the default
		waiting  int
		want     time.Duration
	}{
		"it has just come":       {waiting: 1, want: holdMost},
		"it waits already":       {waited: 30 * time.Millisecond, waiting: 1, want: holdMost - 30*time.Millisecond},
		"it waits too long":      {waited: time.Second, waiting: 1, want: messageMost},
		"senders have no time":   {deadline: 100 * time.Millisecond, waiting: 1, want: 10 * time.Millisecond},
		"a message full":         {waiting: maxBatchDeliveries, want: holdMost},
		"more than fits into it": {waiting: maxBatchDeliveries + 1, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, now := storing(t)
				tellTwice(b, firstHalf, 10, 11, &now)
				time.Sleep(time.Until(now))
				p := NewPublisher(nil, PublisherOptions{Backpressure: true, Deadline: tc.deadline})
				p.pressure = b
				p.commit.before, p.commit.begun = maxBatchDeliveries, time.Now()
				p.commit.waiting = entriesIn(1, tc.waiting)
				for _, e := range p.commit.waiting {
					e.came = time.Now().Add(-tc.waited)
				}
				start := time.Now()
				p.awaitOthers()
				if waited := time.Since(start); waited != tc.want {
					t.Errorf("waited %v, want %v", waited, tc.want)
				}
			})
		})
	}
}
