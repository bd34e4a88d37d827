package broker

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

// FuzzReadPlain: what it reads is what Protocol Buffers' own reader reads.
func FuzzReadPlain(f *testing.F) {
	d := delivery.Delivery{
		ID: delivery.NewID(), WebhookID: "wh_a", Revision: 7, ReceivedAt: time.Now(), Slot: 3, Method: "PUT", Query: "a=\xff",
		Headers: []delivery.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "X-A"}}, Body: []byte("{}"),
	}
	other := d
	other.Slot, other.Headers = 0, nil
	one, two := encodeAll(f, d), encodeAll(f, d, other)
	f.Add(one)
	f.Add(two)
	f.Add(one[:len(one)-1])
	entry := entriesOf(f, d)[0]
	entry.sign(deliveryKeys(f, "a"))
	signed := entry.appendTo(nil)
	f.Add(signed)
	for field := range protowire.Number(14) { // twice, unknown, or of another kind
		for _, more := range [][]byte{
			protowire.AppendBytes(protowire.AppendTag(nil, field+1, protowire.BytesType), []byte("\xffx")),
			protowire.AppendBytes(protowire.AppendTag(nil, field+1, protowire.BytesType), nil),
			protowire.AppendVarint(protowire.AppendTag(nil, field+1, protowire.VarintType), 1<<32+1),
		} {
			raw := append(slices.Concat(entry.head, entry.body), more...)
			f.Add(protowire.AppendBytes(protowire.AppendTag(nil, batchDeliveries, protowire.BytesType), raw))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		stored := time.UnixMilli(1767225660123)
		got, raws, ok := readPlain(data, 7, stored, 1, func(int) bool { return true })
		if !ok {
			return
		}
		want := decodeBatch(data, 7, stored, 1)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		rest := data
		for i := range want {
			var raw []byte
			if raw, rest = nextDelivery(rest); !slices.Equal(raw, raws[i]) {
				t.Errorf("delivery %d has the bytes %x, want %x", i, raws[i], raw)
			}
		}
		odd, _, _ := readPlain(data, 7, stored, 1, func(slot int) bool { return slot%2 == 1 })
		want = slices.DeleteFunc(want, func(d delivery.Delivery) bool { return d.InSlot()%2 == 0 })
		if len(want) != len(odd) || len(want) > 0 && !cmp.Equal(want, odd) {
			t.Errorf("of odd slots: %+v\nwant %+v", odd, want)
		}
	})
}

// TestDeliveriesOfSendersArePlain, and no others.
func TestDeliveriesOfSendersArePlain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := anyDelivery(t)
		var e encoded
		if e.encode(&d) != nil {
			t.Skip("no program writes it")
		}
		_, _, ok := readPlain(e.appendTo(nil), 7, time.Now(), 1, func(int) bool { return true })
		if want := d.Replay == nil && d.First == nil; ok != want {
			t.Errorf("plain: %v, want %v: %+v", ok, want, d)
		}
	})
}

// TestAMessageWithOneOddDeliveryIsReadAsAWhole: nothing of it is read twice, or by two
// readers.
func TestAMessageWithOneOddDeliveryIsReadAsAWhole(t *testing.T) {
	t.Parallel()
	good := genuine(`{"coins":1}`)
	odd, err := proto.Marshal(&deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{{WebhookId: "wh_b", Body: []byte("no id")}}})
	if err != nil {
		t.Fatal(err)
	}
	got := decodeMessage(nil, slices.Concat(encodeAll(t, good), odd, encodeAll(t, good)), 7, time.Now(), 1)
	if len(got) != 3 || got[0].ID != good.ID || got[1].Malformed != "The delivery has no id of 16 bytes." || got[2].ID != good.ID {
		t.Errorf("read as %+v", got)
	}
	broken := slices.Concat(encodeAll(t, good), []byte{0xff})
	if got := decodeMessage(nil, broken, 7, time.Now(), 1); len(got) != 1 || got[0].Malformed != "The message is not a batch of deliveries." {
		t.Errorf("a broken one is read as %+v", got)
	}
}
