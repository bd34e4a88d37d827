package broker

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

func TestSlotsSurviveTheBroker(t *testing.T) {
	t.Parallel()
	stored := time.UnixMicro(1767225660000001).UTC()
	for slot, want := range map[int]int{0: 0, 1: 1, delivery.Slots: delivery.Slots, -1: 0, delivery.Slots + 1: 0} {
		sent := delivery.Delivery{ID: delivery.NewID(), WebhookID: "wh_a", ReceivedAt: stored, Slot: slot}
		for format, header := range map[string]nats.Header{"known": nil, "newer": {formatHeader: {"99"}}} {
			if got := decodeMessage(header, encodeAll(t, sent), 7, stored, 1)[0].Slot; got != want {
				t.Errorf("slot %d, %s format: read as %d, want %d", slot, format, got, want)
			}
		}
	}
	// A number from elsewhere that is no slot is as good as none, and what is malformed
	// has its slot, too.
	for sent, want := range map[*deliverypb.Delivery]int{{Id: make([]byte, 16), Slot: 1 << 31}: 0, {Id: []byte("short"), Slot: 7}: 7} {
		data, err := proto.Marshal(&deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{sent}})
		if err != nil {
			t.Fatal(err)
		}
		if got := decodeMessage(nil, data, 7, stored, 1)[0].Slot; got != want {
			t.Errorf("slot %d is read as %d, want %d", sent.GetSlot(), got, want)
		}
	}
}

// TestTheHeaderCountsWhatTheMessageHolds: an owner that trusts the header must not
// skip a delivery that it would find in the body.
func TestTheHeaderCountsWhatTheMessageHolds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		sent := make([]delivery.Delivery, 1+random.IntN(maxBatchDeliveries))
		spread := 1 + random.IntN(delivery.Slots+20)
		for i := range sent {
			d := delivery.Delivery{ID: delivery.NewID(), WebhookID: string(rune('a' + i%26)), Slot: random.IntN(spread)}
			if random.IntN(5) == 0 {
				d.Replay = &delivery.Replay{ID: delivery.NewID()}
			}
			sent[i] = d
		}
		data, header := encodeAll(t, sent...), countHeaders(entriesOf(t, sent...))
		counts, ok := slotsOf(header)
		if !ok {
			t.Fatalf("not read: %v", header)
		}
		count := 1 + random.IntN(8)
		for index := range count {
			p := delivery.Partition{Generation: 1, Index: index, Count: count}
			want := 0
			for _, d := range decodeMessage(nil, data, 7, time.Now(), 1) {
				if p.Has(d.InSlot()) {
					want++
				}
			}
			if got := counts.in(p); got != want {
				t.Fatalf("partition %s: the header says %d, the body holds %d", p, got, want)
			}
		}
	}
}

func TestSlotsAreReadStrictly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		deliveries, slots string
		want              slotCounts
	}{
		{"256", "3:10,17:246", slotCounts{{3, 10}, {17, 246}}},
		{"1", "256:1", slotCounts{{256, 1}}},
		{"1", "", nil},
		{"", "3:1", nil},
		{"2", "3:1", nil}, // one is missing
		{"2", "3:1,3:1", nil},
		{"2", "4:1,3:1", nil},
		{"1", "0:1", nil},
		{"1", "257:1", nil},
		{"1", "3:1,4:0", nil},
		{"1", "3:1,", nil},
		{"1", ",3:1", nil},
		{"1", "3", nil},
		{"1", "3:", nil},
		{"1", "3:1:1", nil},
		{"1", " 3:1", nil},
		{"1", "+3:1", nil},
		{"1", "3:-1", nil},
		{"65536", "3:65536", nil},
	} {
		h := nats.Header{deliveriesHeader: {test.deliveries}, slotsHeader: {test.slots}}
		got, ok := slotsOf(h)
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(slotCount{})); diff != "" || ok != (test.want != nil) {
			t.Errorf("%q of %s: ok %t (-want +got):\n%s", test.slots, test.deliveries, ok, diff)
		}
	}
}

// FuzzSlots: whatever the header says is refused, or adds up, is in order and is
// written in the same way again.
func FuzzSlots(f *testing.F) {
	for _, seed := range []string{"3:10,17:246", "256:1", "", "1:1,1:1", "3:01", "0:0", ":,:"} {
		f.Add("256", seed)
	}
	f.Fuzz(func(t *testing.T, deliveries, slots string) {
		h := nats.Header{deliveriesHeader: {deliveries}, slotsHeader: {slots}}
		counts, ok := slotsOf(h)
		if !ok {
			if counts != nil {
				t.Errorf("refused, and read as %v", counts)
			}
			return
		}
		all, _ := countOf(h)
		if n := counts.in(delivery.Partition{Count: 1}); n != all.Deliveries || n == 0 {
			t.Errorf("%d deliveries in %q, want %d", n, slots, all.Deliveries)
		}
		again, ok := slotsOf(nats.Header{deliveriesHeader: {deliveries}, slotsHeader: {counts.String()}})
		if !ok || !cmp.Equal(counts, again, cmp.AllowUnexported(slotCount{})) {
			t.Errorf("%q is written as %q", slots, counts)
		}
	})
}
