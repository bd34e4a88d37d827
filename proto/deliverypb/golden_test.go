package deliverypb_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/coinhook/coinhook/proto/deliverypb"
)

// golden is what testdata/batch.hex holds, goldenReplay what replay.hex holds,
// goldenCopy what copy.hex holds, goldenSlot what slot.hex holds, goldenRequest what
// request.hex holds.
// Messages of these forms lie in streams: if the test fails, old messages cannot
// be read any more.
var golden = &deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{
	{
		Id:              []byte("\x01\x92\x0f\x4e\x7f\x00\x70\x00\x80\x00\x00\x00\x00\x00\x00\x01"),
		WebhookId:       "wh_abcdefghijklmnopqrstuvwxyz",
		WebhookRevision: 300,
		ReceivedAtUs:    1767225660000001,
		Headers: []*deliverypb.Header{
			{Name: "Content-Type", Value: "application/json"},
			{Name: "X-Github-Event", Value: "pull_request"},
		},
		Body: []byte("{\"order\":{\"coins\":150}}"),
	},
	{
		Id:        []byte("\x01\x92\x0f\x4e\x7f\x00\x70\x00\x80\x00\x00\x00\x00\x00\x00\x02"),
		WebhookId: "wh_abcdefghijklmnopqrstuvwxyz",
		Body:      []byte("\x00\xff"),
	},
}}

var goldenReplay = &deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{{
	Id:           []byte("\x01\x92\x0f\x4e\x7f\x00\x70\x00\x80\x00\x00\x00\x00\x00\x00\x03"),
	WebhookId:    "wh_abcdefghijklmnopqrstuvwxyz",
	ReceivedAtUs: 1767225660000001,
	Body:         []byte("{}"),
	Replay: &deliverypb.Replay{
		Id:              []byte("\x01\x92\x0f\x4e\x7f\x01\x70\x00\x80\x00\x00\x00\x00\x00\x00\x04"),
		Cause:           "bulk",
		RequestedBy:     "anna@office",
		RequestedAtUs:   1767225670000001,
		Note:            "the path was wrong",
		WebhookRevision: 301,
		WebhookVersion:  2,
		Edited:          true,
	},
}}}

var goldenCopy = &deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{{
	Id:           []byte("\x01\x92\x0f\x4e\x7f\x00\x70\x00\x80\x00\x00\x00\x00\x00\x00\x05"),
	WebhookId:    "wh_abcdefghijklmnopqrstuvwxyz",
	ReceivedAtUs: 1767225660000001,
	Body:         []byte("{}"),
	First:        &deliverypb.Place{Incarnation: "0192-4e7f", Sequence: 600, Index: 3},
}}}

var goldenSlot = &deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{{
	Id:           []byte("\x01\x92\x0f\x4e\x7f\x00\x70\x00\x80\x00\x00\x00\x00\x00\x00\x06"),
	WebhookId:    "wh_abcdefghijklmnopqrstuvwxyz",
	ReceivedAtUs: 1767225660000001,
	Body:         []byte("{}"),
	Slot:         246,
}}}

var goldenRequest = &deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{{
	Id:           []byte("\x01\x92\x0f\x4e\x7f\x00\x70\x00\x80\x00\x00\x00\x00\x00\x00\x07"),
	WebhookId:    "wh_abcdefghijklmnopqrstuvwxyz",
	ReceivedAtUs: 1767225660000001,
	Slot:         246,
	Method:       "GET",
	Query:        []byte("appUserId=ann&rewards=5&odd=\xff"),
}}}

func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	t.Run("batch", func(t *testing.T) {
		t.Parallel()
		testGolden(t, golden, "testdata/batch.hex")
	})
	t.Run("replay", func(t *testing.T) {
		t.Parallel()
		testGolden(t, goldenReplay, "testdata/replay.hex")
	})
	t.Run("copy", func(t *testing.T) {
		t.Parallel()
		testGolden(t, goldenCopy, "testdata/copy.hex")
	})
	t.Run("slot", func(t *testing.T) {
		t.Parallel()
		testGolden(t, goldenSlot, "testdata/slot.hex")
	})
	t.Run("request", func(t *testing.T) {
		t.Parallel()
		testGolden(t, goldenRequest, "testdata/request.hex")
	})
}

func testGolden(t *testing.T, golden *deliverypb.DeliveryBatch, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}

	t.Run("old bytes are read", func(t *testing.T) {
		t.Parallel()
		var got deliverypb.DeliveryBatch
		if err := proto.Unmarshal(want, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(golden, &got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("the same bytes are written", func(t *testing.T) {
		t.Parallel()
		got, err := proto.MarshalOptions{Deterministic: true}.Marshal(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(hex.EncodeToString(want), hex.EncodeToString(got)); diff != "" {
			t.Error(diff)
		}
	})
}
