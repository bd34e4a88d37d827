package broker

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

func entriesOf(tb testing.TB, all ...delivery.Delivery) []*entry {
	tb.Helper()
	entries := make([]*entry, len(all))
	for i := range all {
		entries[i] = &entry{}
		if err := entries[i].encode(&all[i]); err != nil {
			tb.Fatal(err)
		}
	}
	return entries
}

func encodeAll(tb testing.TB, all ...delivery.Delivery) (message []byte) {
	tb.Helper()
	for _, e := range entriesOf(tb, all...) {
		message = e.appendTo(message)
	}
	return message
}

// decodeMessage reads a message without keys.
func decodeMessage(h nats.Header, data []byte, sequence uint64, stored time.Time, attempt int) []delivery.Delivery {
	return proof{}.decode(h, data, sequence, stored, attempt, nil)
}

func anyDelivery(t *rapid.T) delivery.Delivery {
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(1, 1<<52).Draw(t, "at")).UTC()
	})
	id := rapid.Custom(func(t *rapid.T) delivery.ID {
		return delivery.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	})
	d := delivery.Delivery{
		ID: id.Draw(t, "id"), WebhookID: rapid.String().Draw(t, "webhook"), Revision: rapid.Uint64().Draw(t, "revision"),
		ReceivedAt: at.Draw(t, "received"), Slot: rapid.IntRange(0, delivery.Slots).Draw(t, "slot"),
		Headers: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) delivery.Header {
			return delivery.Header{Name: rapid.String().Draw(t, "name"), Value: rapid.String().Draw(t, "value")}
		}), 0, 5).Draw(t, "headers"),
		Method: rapid.SampledFrom([]string{"", "GET", "PUT"}).Draw(t, "method"),
		Query:  string(rapid.SliceOf(rapid.Byte()).Draw(t, "query")),
		Body:   rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
	}
	if rapid.Bool().Draw(t, "is a replay") {
		d.Replay = &delivery.Replay{
			ID: id.Draw(t, "replay"), Cause: delivery.Bulk, RequestedBy: rapid.String().Draw(t, "by"), RequestedAt: at.Draw(t, "requested"),
			Note: rapid.String().Draw(t, "note"), Revision: rapid.Uint64().Draw(t, "least"), Version: rapid.IntRange(0, 1<<20).Draw(t, "version"),
			Edited: rapid.Bool().Draw(t, "edited"),
		}
	}
	if rapid.Bool().Draw(t, "is a copy") {
		d.First = &delivery.Place{
			Incarnation: rapid.String().Draw(t, "incarnation"), StoredAt: at.Draw(t, "stored"),
			Position: delivery.Position{Sequence: rapid.Uint64().Draw(t, "sequence"), Index: rapid.IntRange(0, 1<<20).Draw(t, "index")},
		}
	}
	return d
}

// TestEncodedDeliveriesAreReadAsTheyWere: by the generated code, which knows nothing of
// how they were encoded.
func TestEncodedDeliveriesAreReadAsTheyWere(t *testing.T) {
	t.Parallel()
	var used entry // its memory is used again
	rapid.Check(t, func(t *rapid.T) {
		stored := time.UnixMicro(1767225660000001).UTC()
		want := rapid.SliceOfN(rapid.Custom(anyDelivery), 1, 4).Draw(t, "deliveries")
		var message []byte
		size := 0
		for i := range want {
			if err := used.encode(&want[i]); err != nil {
				t.Fatal(err)
			}
			message, size = used.appendTo(message), size+used.size()
			want[i].Position, want[i].StoredAt, want[i].Attempt = delivery.Position{Sequence: 7, Index: i}, stored, 1
			if len(want[i].Body) == 0 {
				want[i].Body = nil
			}
		}
		if diff := cmp.Diff(want, decodeMessage(nil, message, 7, stored, 1)); diff != "" {
			t.Error(diff)
		}
		if len(message) > size {
			t.Errorf("%d bytes, and said to be %d at most", len(message), size)
		}
		// Nothing is in it that the generated code would write in another way.
		var batch deliverypb.DeliveryBatch
		if err := proto.Unmarshal(message, &batch); err != nil || proto.Size(&batch) != len(message) {
			t.Errorf("%d bytes, want %d; %v", len(message), proto.Size(&batch), err)
		}
	})
}

// TestTextThatIsNotUTF8IsRefused: no reader could decode the message, and with it the
// deliveries of others.
func TestTextThatIsNotUTF8IsRefused(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]delivery.Delivery{
		"webhook":      {WebhookID: "\xff"},
		"method":       {Method: "\xff"},
		"header name":  {Headers: []delivery.Header{{Name: "\xff"}}},
		"header value": {Headers: []delivery.Header{{Name: "A", Value: "\xff"}, {Name: "B"}}},
		"note":         {Replay: &delivery.Replay{Note: "\xff"}},
		"incarnation":  {First: &delivery.Place{Incarnation: "\xff"}},
	} {
		var e encoded
		if err := e.encode(&d); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var e encoded
	if err := e.encode(&delivery.Delivery{WebhookID: "\xff"}); !errors.Is(err, errNotUTF8) {
		t.Errorf("error %v", err)
	}
}

// TestEncodingAllocatesNothing: it is done for each request.
func TestEncodingAllocatesNothing(t *testing.T) {
	d := delivery.Delivery{
		ID: delivery.NewID(), WebhookID: "wh_a", ReceivedAt: time.Now(), Slot: 3,
		Headers: []delivery.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "X-Event", Value: "paid"}}, Body: []byte("{}"),
		Method: "PUT", Query: "a=1",
	}
	var e encoded
	message := make([]byte, 0, 1<<10)
	encode := func() {
		if err := e.encode(&d); err != nil {
			t.Fatal(err)
		}
		message = e.appendTo(message[:0])
	}
	encode()
	if n := testing.AllocsPerRun(1000, encode); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
