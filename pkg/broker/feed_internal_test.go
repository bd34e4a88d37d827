package broker

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// The session may end before the owner has room for the last message. Until the next one
// reads it again, the generation is not finished: its deliveries have no rows.
func TestAMessageThatWasNotTakenDoesNotFinishTheGeneration(t *testing.T) {
	t.Parallel()
	f := &Feed{partition: delivery.Partition{Count: 1}}
	f.begin(4, 0)
	f.EndAt(5)
	meta := &nats.MsgMetadata{Sequence: nats.SequencePair{Stream: 5}, Timestamp: time.Now()}
	r := f.track(meta, 1)
	f.untrack(r)
	if f.IsFinished() {
		t.Error("the generation is finished without its last message")
	}
	// The next session brings it.
	f.end()
	f.begin(4, 1)
	r = f.track(meta, 1)
	if r == nil || f.IsFinished() {
		t.Fatalf("receipt %v of the message that is read again; finished: %v", r, f.IsFinished())
	}
	f.Settled(r, 1)
	if !f.IsFinished() {
		t.Error("the generation is not finished, with rows of all")
	}
}

// Whatever a header says, each delivery of the message is taken by one partition.
func TestEachDeliveryIsTakenByOnePartition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		partitions := rapid.IntRange(1, 8).Draw(t, "partitions")
		var named [delivery.Slots + 1]int
		for _, slot := range rapid.SliceOfN(rapid.IntRange(1, 20), 1, 6).Draw(t, "named") {
			named[slot]++
		}
		entries := newSlotCounts(&named)
		total := 0
		for _, c := range entries {
			total += c.deliveries
		}
		h := nats.Header{deliveriesHeader: {strconv.Itoa(total)}, slotsHeader: {entries.String()}}
		if rapid.IntRange(0, 4).Draw(t, "damaged") == 0 {
			h.Set(slotsHeader, "1:x")
		}
		slot := rapid.IntRange(1, 20).Draw(t, "slot of a delivery")
		var takers []int
		for i := range partitions {
			f := &Feed{partition: delivery.Partition{Index: i, Count: partitions}}
			if wanted := f.wants(h, true); wanted != nil && wanted(slot) {
				takers = append(takers, i)
			}
		}
		if len(takers) != 1 {
			t.Fatalf("slot %d is taken by the partitions %v", slot, takers)
		}
	})
}

// A partition rests longer the longer it has had no delivery, within bounds.
func TestHowLongAPartitionRests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // its clock stands still
		for _, tc := range []struct{ silent, want time.Duration }{
			{restAfter - 1, 0},
			{restAfter, restLeast},
			{2 * time.Second, 40 * time.Millisecond},
			{time.Hour, restMost},
		} {
			f := &Feed{came: time.Now().Add(-tc.silent)}
			if got := f.rests(); got != tc.want {
				t.Errorf("after %s it rests %s, want %s", tc.silent, got, tc.want)
			}
		}
	})
}
