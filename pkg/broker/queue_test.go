package broker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// inSlots returns a delivery for each slot; those below 0 are replays.
func inSlots(tb testing.TB, slots ...int) (all []delivery.Delivery) {
	tb.Helper()
	for _, slot := range slots {
		d := newDelivery(tb, "{}")
		if d.Slot = slot; slot < 0 {
			d.Slot, d.Replay = -slot, &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual}
		}
		all = append(all, d)
	}
	return all
}

// ackTo has a partition settle all up to a message.
func ackTo(tb testing.TB, server *brokertest.Server, partition string, sequence uint64) {
	tb.Helper()
	if _, err := js(tb, server).ResetConsumerToSequence(tb.Context(), "DELIVERIES", partition, sequence+1); err != nil {
		tb.Fatal(err)
	}
}

func queueOf(tb testing.TB, conn *broker.Conn, limit time.Duration) (broker.Pending, broker.Queue) {
	tb.Helper()
	stream, err := conn.OpenStream(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	p, err := stream.Pending(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	q, err := stream.Queue(tb.Context(), p, limit)
	if err != nil {
		tb.Fatal(err)
	}
	return p, q
}

func TestEachDeliveryWaitsForItsOwnPartition(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := setUpPartitions(t, server, 2)
	publisher := startPublisher(t, conn)
	for _, slots := range [][]int{
		{1, 1, 2},       // message 1
		{1, -2, 2, 255}, // 2: a replay in the second partition
		{-1, -2},        // 3: nothing but replays
		{2, 4},          // 4
	} {
		if err := publisher.PublishAll(t.Context(), inSlots(t, slots...)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(about string, first uint64, deliveries, replays int) {
		t.Helper()
		p, q := queueOf(t, conn, 0)
		want := broker.Queue{All: broker.Count{Deliveries: deliveries, Replays: replays}, Overdue: broker.Count{Deliveries: deliveries, Replays: replays}}
		if diff := cmp.Diff(want, q, cmpopts.IgnoreUnexported(broker.Queue{}), cmpopts.IgnoreFields(broker.Queue{}, "Oldest")); diff != "" || p.First != first || p.Last != 4 {
			t.Errorf("%s: messages %d to %d, want %d to 4\n%s", about, p.First, p.Last, first, diff)
		}
		if q.Oldest.IsZero() != (deliveries == 0) {
			t.Errorf("%s: the oldest was stored at %s", about, q.Oldest)
		}
	}
	check("nothing is settled", 1, 11, 3)
	ackTo(t, server, "partition-1-0", 1)
	check("message 1 by the first partition", 1, 9, 3)
	ackTo(t, server, "partition-1-0", 2)
	check("message 2 by the first partition", 1, 7, 3)
	ackTo(t, server, "partition-1-0", 4)
	check("all by the first partition", 1, 6, 2)
	ackTo(t, server, "partition-1-1", 3)
	check("message 3 by the second partition", 4, 2, 0)
	ackTo(t, server, "partition-1-1", 4)
	check("all", 5, 0, 0)
}

// While nothing waits a monitor reads nothing: a reader is a consumer of its own.
func TestNothingIsReadWhileNothingWaits(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := setUpPartitions(t, server, 1)
	publish(t, startPublisher(t, conn), "a", "b")
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin := js(t, server)
	requests := func() int { // of the queue
		t.Helper()
		p, err := stream.Pending(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before, err := admin.AccountInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Queue(t.Context(), p, 0); err != nil {
			t.Fatal(err)
		}
		after, err := admin.AccountInfo(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return int(after.API.Total-before.API.Total) - 1
	}
	if requests() < 1 {
		t.Error("two messages were counted, and nothing was read")
	}
	ackTo(t, server, "partition-1-0", 2)
	if n := requests(); n != 0 {
		t.Errorf("nothing waits, and the monitor made %d requests to count it", n)
	}
}

func TestALongBacklogIsEstimated(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := setUpPartitions(t, server, 2)
	// Each message has 2 deliveries of the first partition, and every second one a
	// third, of the second partition.
	const messages = 1400
	publisher := startPublisher(t, conn)
	for n := range messages {
		slots := []int{1, 3}
		if n%2 == 1 {
			slots = append(slots, 2)
		}
		if err := publisher.PublishAll(t.Context(), inSlots(t, slots...)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		partition string
		to        uint64
		want      int
	}{
		{"", 0, 2*messages + messages/2},
		{"partition-1-1", 1200, 2*messages + 100},
		{"partition-1-0", 100, 2*(messages-100) + 100},
		{"partition-1-0", 400, 2*(messages-400) + 100}, // 1,000 messages
	} {
		if tc.to > 0 {
			ackTo(t, server, tc.partition, tc.to)
		}
		p, q := queueOf(t, conn, 0)
		if q.All.Deliveries != tc.want || q.Overdue != q.All || q.Estimated != (p.Last-p.First >= 1000) {
			t.Errorf("of messages %d to %d: %+v wait, %+v are overdue, estimated: %v; want %d", p.First, p.Last, q.All, q.Overdue, q.Estimated, tc.want)
		}
	}
	if _, q := queueOf(t, conn, time.Hour); q.Overdue != (broker.Count{}) {
		t.Errorf("%+v are overdue after an hour", q.Overdue)
	}
}

// Messages that others stored do not say what they carry.
func TestMessagesWithoutACountAreCounted(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	publish(t, startPublisher(t, conn), "a")
	for _, garbage := range []*nats.Msg{
		{Subject: "coinhook.deliveries", Data: []byte("\xff no protobuf")},
		{Subject: "coinhook.deliveries", Header: nats.Header{"Coinhook-Deliveries": {"many"}}},
		{Subject: "coinhook.deliveries", Header: nats.Header{"Coinhook-Deliveries": {"1"}, "Coinhook-Replays": {"2"}}},
	} {
		if _, err := js(t, server).PublishMsg(t.Context(), garbage); err != nil {
			t.Fatal(err)
		}
	}
	if _, q := queueOf(t, conn, 0); q.All != (broker.Count{Deliveries: 4}) {
		t.Errorf("%+v are counted, want 4", q.All)
	}
}

// How far a partition is whose consumer is missing, nobody knows.
func TestAPartitionWithoutAConsumerIsAnError(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := setUpPartitions(t, server, 2)
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"partition-1-1", "partition-1-0"} {
		server.DeleteConsumer("DELIVERIES", name)
		if _, err := stream.Pending(t.Context()); err == nil || !contains(err, "coinhook setup") {
			t.Errorf("without %s: %v", name, err)
		}
	}
}
