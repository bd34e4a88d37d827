package broker

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

// FuzzDecodeBatch: whatever lies in the stream becomes deliveries, each with an
// id that it has again when it is read again.
func FuzzDecodeBatch(f *testing.F) {
	good := encodeAll(f, delivery.Delivery{ID: delivery.NewID(), WebhookID: "wh_a", ReceivedAt: time.Now(), Body: []byte("{}")})
	noID, err := proto.Marshal(&deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{{WebhookId: "wh_b", Body: []byte("no id")}}})
	if err != nil {
		f.Fatal(err)
	}
	good = append(good, noID...)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		stored := time.UnixMilli(1767225660123)
		first, again := decodeMessage(nil, data, 7, stored, 1), decodeMessage(nil, data, 7, stored, 2)
		if len(first) == 0 || len(first) != len(again) {
			t.Fatalf("%d deliveries, and %d when read again", len(first), len(again))
		}
		for i, d := range first {
			if d.ID != again[i].ID || d.Position != (delivery.Position{Sequence: 7, Index: i}) {
				t.Errorf("delivery %d is %s at %+v, and %s when read again", i, d.ID, d.Position, again[i].ID)
			}
			if d.Malformed != "" && (d.ID[6]>>4 != 7 || d.ID[8]>>6 != 2) {
				t.Errorf("the id %s of a malformed delivery is no UUIDv7", d.ID)
			}
		}
	})
}

// TestAMessageOfTooManyDeliveriesIsOne: a forged message of 1 MB could be 500,000 dead
// letters.
func TestAMessageOfTooManyDeliveriesIsOne(t *testing.T) {
	t.Parallel()
	stored := time.UnixMilli(1767225660123).UTC()
	most := bytes.Repeat([]byte{byte(batchDeliveries)<<3 | 2, 0}, maxReadDeliveries)
	if got := decodeMessage(nil, most, 7, stored, 1); len(got) != maxReadDeliveries {
		t.Errorf("%d empty deliveries are read as %d", maxReadDeliveries, len(got))
	}
	got := decodeMessage(nil, append(most, most[:2]...), 7, stored, 1)
	if len(got) != 1 || got[0].Malformed != "The message has more than 4096 deliveries." || len(got[0].Body) == 0 {
		t.Fatalf("one more is read as %d: %+v", len(got), got[0])
	}
}

func TestReplaysSurviveTheBroker(t *testing.T) {
	t.Parallel()
	at := time.UnixMicro(1767225660000001).UTC()
	want := delivery.Delivery{
		ID: delivery.NewID(), WebhookID: "wh_a", ReceivedAt: at, Headers: []delivery.Header{}, Body: []byte("{}"),
		Replay: &delivery.Replay{
			ID: delivery.NewID(), Cause: delivery.Bulk, RequestedBy: "anna@office", RequestedAt: at.Add(time.Hour),
			Note: "the path was wrong", Revision: 301, Version: 2, Edited: true,
		},
		First: &delivery.Place{
			Incarnation: "stream", Position: delivery.Position{Sequence: 5, Index: 3}, StoredAt: time.UnixMicro(1767225660000001).UTC(),
		},
		Position: delivery.Position{Sequence: 7}, StoredAt: at, Attempt: 1,
	}
	if diff := cmp.Diff([]delivery.Delivery{want}, decodeMessage(nil, encodeAll(t, want), 7, at, 1)); diff != "" {
		t.Error(diff)
	}
	if id := messageID(entriesOf(t, want)); id != want.Replay.ID.String() {
		t.Errorf("JetStream would tell the replay's message by %s", id)
	}
}

// JetStream drops a message whose id it has seen: two that differ must not share
// one, or what only the second holds is confirmed and lost.
func TestMessagesThatDifferHaveOtherIDs(t *testing.T) {
	t.Parallel()
	message := func(deliveries ...delivery.Delivery) string {
		return messageID(entriesOf(t, deliveries...))
	}
	replay := func(of delivery.Delivery) delivery.Delivery {
		of.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.UserFound}
		return of
	}
	sent, other := delivery.Delivery{ID: delivery.NewID()}, delivery.Delivery{ID: delivery.NewID()}
	first, again, beside := replay(sent), replay(sent), replay(other)
	ids := map[string]string{}
	for about, id := range map[string]string{
		"a delivery": message(sent), "another one": message(other),
		"its replay": message(first), "its second replay": message(again),
		"a replay beside another": message(first, beside), "the other way round": message(beside, first),
		"a replay beside a delivery": message(first, other), "two deliveries": message(sent, other),
	} {
		if shared, ok := ids[id]; ok {
			t.Errorf("%s and %s have one id", about, shared)
		}
		ids[id] = about
	}
	if once, again := message(first, beside), message(first, beside); once != again {
		t.Error("a message has another id when it is published again")
	}
}

// TestOfANewerMessageTheEnvelopeIsRead: this version knows which deliveries wait, and
// neither executes what it would misread nor calls it malformed.
func TestOfANewerMessageTheEnvelopeIsRead(t *testing.T) {
	t.Parallel()
	stored := time.UnixMilli(1767225660123).UTC()
	sent := delivery.Delivery{ID: delivery.NewID(), WebhookID: "wh_a", ReceivedAt: stored.Add(-time.Minute), Body: []byte("{}"), Revision: 7}
	replay := sent
	replay.ID = delivery.NewID()
	replay.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Bulk, Version: 2}
	data := encodeAll(t, sent, replay)
	for format, newer := range map[string]bool{"": false, "1": false, "2": false, "3": true, "10": true, "later": true} {
		header := nats.Header{}
		if format != "" {
			header.Set("Coinhook-Format", format)
		}
		got := decodeMessage(header, data, 7, stored, 3)
		if len(got) != 2 || got[0].Newer != newer || got[1].Newer != newer {
			t.Fatalf("format %q: read as %+v", format, got)
		}
		if !newer {
			continue
		}
		want := []delivery.Delivery{
			{ID: sent.ID, WebhookID: "wh_a", ReceivedAt: stored, StoredAt: stored, Newer: true, Attempt: 3, Position: delivery.Position{Sequence: 7}},
			{
				ID: replay.ID, WebhookID: "wh_a", ReceivedAt: stored, StoredAt: stored, Newer: true, Attempt: 3, Position: delivery.Position{Sequence: 7, Index: 1},
				Replay: &delivery.Replay{ID: replay.Replay.ID},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("format %q (-want +got):\n%s", format, diff)
		}
	}
	// A message that cannot be read at all is a delivery that waits, too.
	got := decodeMessage(nats.Header{"Coinhook-Format": {"99"}}, []byte("\xff\xffcompressed"), 7, stored, 1)
	if len(got) != 1 || !got[0].Newer || got[0].Malformed != "" || got[0].ID == (delivery.ID{}) {
		t.Errorf("unreadable: %+v", got)
	}
}
