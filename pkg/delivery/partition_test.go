package delivery_test

import (
	"hash/fnv"
	"testing"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Messages that lie in streams have these slots: another hash would move the
// deliveries of a community to another partition.
func TestSlotsNeverChange(t *testing.T) {
	t.Parallel()
	for community, want := range map[string]int{"default": 223, "demo": 55, "shop": 170, "": 198} {
		if got := delivery.SlotOf(community); got != want {
			t.Errorf("slot of %q = %d, want %d", community, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		community := rapid.String().Draw(t, "community")
		h := fnv.New32a()
		h.Write([]byte(community))
		if got, want := delivery.SlotOf(community), int(h.Sum32()%delivery.Slots)+1; got != want {
			t.Errorf("slot of %q = %d, want %d", community, got, want)
		}
	})
}

func TestInSlot(t *testing.T) {
	t.Parallel()
	for slot, want := range map[int]int{
		1: 1, delivery.Slots: delivery.Slots,
		0: delivery.SlotOf("wh_a"), -1: delivery.SlotOf("wh_a"), delivery.Slots + 1: delivery.SlotOf("wh_a"),
	} {
		d := delivery.Delivery{WebhookID: "wh_a", Slot: slot}
		if got := d.InSlot(); got != want {
			t.Errorf("slot %d: in slot %d, want %d", slot, got, want)
		}
	}
}

// TestEachSlotIsInOnePartition: two owners would both settle it, or none.
func TestEachSlotIsInOnePartition(t *testing.T) {
	t.Parallel()
	for count := 1; count <= delivery.Slots; count++ {
		for slot := 1; slot <= delivery.Slots; slot++ {
			in := 0
			for index := range count {
				if (delivery.Partition{Index: index, Count: count}).Has(slot) {
					in++
				}
			}
			if in != 1 {
				t.Fatalf("slot %d is in %d of %d partitions", slot, in, count)
			}
		}
	}
}
