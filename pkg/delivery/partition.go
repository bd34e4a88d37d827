package delivery

import "fmt"

// Slots is the number of slots that communities are hashed to. A partition is a set
// of slots, so that the number of partitions can change and messages stay as they
// are. It is part of the message format: never change it.
const Slots = 256

// SlotOf returns the slot of a community, 1 to Slots.
func SlotOf(community string) int {
	h := uint32(2166136261) // FNV-1a, as in hash/fnv, whose state would be allocated for each delivery
	for i := range len(community) {
		h = (h ^ uint32(community[i])) * 16777619
	}
	return int(h%Slots) + 1
}

// InSlot is the slot that a delivery belongs to. If an older ingress left it out, it
// is computed from the webhook's id. Every reader must compute the same slot, else
// two partitions would leave the delivery to each other.
func (d *Delivery) InSlot() int {
	if d.Slot >= 1 && d.Slot <= Slots {
		return d.Slot
	}
	return SlotOf(d.WebhookID)
}

// Partition is a share of the communities, by their slots. One applier at a time
// settles it.
type Partition struct {
	// Generation rises each time that the number of partitions changes.
	Generation int
	// Index is one of 0 to Count-1.
	Index, Count int
}

// Has reports whether a slot is in the partition.
func (p Partition) Has(slot int) bool { return p.Count <= 1 || (slot-1)%p.Count == p.Index }

// Name is the name of its consumer at the broker, such as "partition-1-0".
func (p Partition) Name() string { return fmt.Sprintf("partition-%d-%d", p.Generation, p.Index) }

func (p Partition) String() string {
	return fmt.Sprintf("%d of %d (generation %d)", p.Index, p.Count, p.Generation)
}
