package broker

import (
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// slotToProto and slotFromProto take a number that is no slot for none, so that
// every reader falls back to the same slot.
func slotToProto(slot int) uint32 {
	if slot < 1 || slot > delivery.Slots {
		return 0
	}
	return uint32(slot) // 1 to 256
}

func slotFromProto(slot uint32) int {
	if slot > delivery.Slots {
		return 0
	}
	return int(slot)
}

// slotCount is how many deliveries of one slot a message carries, replays among
// them.
type slotCount struct{ slot, deliveries int }

// slotCounts has the lowest slot first, and each slot once.
type slotCounts []slotCount

// in is how many of the deliveries are in a partition.
func (counts slotCounts) in(p delivery.Partition) (n int) {
	for _, c := range counts {
		if p.Has(c.slot) {
			n += c.deliveries
		}
	}
	return n
}

// hides reports whether the owner of a slot's partition would skip the message.
func (counts slotCounts) hides(slot, partitions int) bool {
	return counts.in(delivery.Partition{Index: (slot - 1) % partitions, Count: partitions}) == 0
}

// String is the form of the header.
func (counts slotCounts) String() string {
	text := make([]byte, 0, 8*len(counts))
	for _, c := range counts {
		if len(text) > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendInt(text, int64(c.slot), 10)
		text = append(text, ':')
		text = strconv.AppendInt(text, int64(c.deliveries), 10)
	}
	return string(text)
}

// countSlots counts what a message is going to carry, as its readers will.
func countSlots(batch []*entry) slotCounts {
	var bySlot [delivery.Slots + 1]int
	for _, e := range batch {
		bySlot[e.slot]++
	}
	return newSlotCounts(&bySlot)
}

// slotsOfDeliveries counts what a message carries.
func slotsOfDeliveries(all []delivery.Delivery) slotCounts {
	var bySlot [delivery.Slots + 1]int
	for i := range all {
		bySlot[all[i].InSlot()]++
	}
	return newSlotCounts(&bySlot)
}

func newSlotCounts(bySlot *[delivery.Slots + 1]int) slotCounts {
	slots := 0
	for _, n := range bySlot {
		if n > 0 {
			slots++
		}
	}
	counts := make(slotCounts, 0, slots)
	for slot, n := range bySlot {
		if n > 0 {
			counts = append(counts, slotCount{slot, n})
		}
	}
	return counts
}

// slotsOf reads the headers of countHeaders. ok is false if they are missing, or if the
// slots do not sum up to the number of deliveries: then the message has to be decoded.
func slotsOf(h nats.Header) (counts slotCounts, ok bool) {
	all, ok := countOf(h)
	if !ok {
		return nil, false
	}
	sum, last := 0, 0
	for part := range strings.SplitSeq(h.Get(slotsHeader), ",") {
		slot, n, _ := strings.Cut(part, ":")
		c := slotCount{wholeNumber(slot), wholeNumber(n)}
		if c.slot <= last || c.slot > delivery.Slots || c.deliveries < 1 {
			return nil, false
		}
		counts, sum, last = append(counts, c), sum+c.deliveries, c.slot
	}
	if sum != all.Deliveries {
		return nil, false
	}
	return counts, true
}

// wholeNumber reads a number of a header, and 0 where there is none.
func wholeNumber(text string) int {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}
