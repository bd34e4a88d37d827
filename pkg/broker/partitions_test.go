package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// addConsumer creates the consumer of a partition with as many copies as the stream.
func addConsumer(tb testing.TB, js jetstream.JetStream, p delivery.Partition, beginsAfter, startAfter uint64) jetstream.Consumer {
	tb.Helper()
	consumer, err := js.CreateConsumer(tb.Context(), "DELIVERIES", broker.PartitionConfig(p, beginsAfter, startAfter))
	if err != nil {
		tb.Fatal(err)
	}
	return consumer
}

// withoutPartitions deletes the consumers of all partitions.
func withoutPartitions(tb testing.TB, js jetstream.JetStream) {
	tb.Helper()
	stream, err := js.Stream(tb.Context(), "DELIVERIES")
	if err != nil {
		tb.Fatal(err)
	}
	names := stream.ConsumerNames(tb.Context())
	for name := range names.Name() {
		if err := js.DeleteConsumer(tb.Context(), "DELIVERIES", name); err != nil {
			tb.Error(err)
		}
	}
	if err := names.Err(); err != nil {
		tb.Fatal(err)
	}
}

func publishBodies(tb testing.TB, conn *broker.Conn, bodies ...string) {
	tb.Helper()
	p := startPublisher(tb, conn)
	for _, body := range bodies {
		if err := p.Publish(tb.Context(), newDelivery(tb, body)); err != nil {
			tb.Fatal(err)
		}
	}
}

func partitionStates(tb testing.TB, conn *broker.Conn) []broker.PartitionState {
	tb.Helper()
	stream, err := conn.OpenStream(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	states, err := stream.Partitions(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return states
}

func TestPartitionsAreWhatTheirConsumersSay(t *testing.T) {
	t.Parallel()
	for name, connect := range map[string]func(t *testing.T) (*broker.Conn, string){
		"one server": func(t *testing.T) (*broker.Conn, string) {
			server := brokertest.Start(t)
			return server.ConnectSetUp(), server.URL()
		},
		"three servers": func(t *testing.T) (*broker.Conn, string) {
			cluster := brokertest.StartCluster(t, 3)
			return cluster.ConnectSetUp(), cluster.URL()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, url := connect(t)
			js := openJetStream(t, url)
			withoutPartitions(t, js)
			if got := partitionStates(t, conn); len(got) != 0 {
				t.Errorf("partitions %+v before there are any", got)
			}
			publishBodies(t, conn, "1", "2", "3", "4", "5")
			addConsumer(t, js, delivery.Partition{Generation: 10, Index: 0, Count: 1}, 4, 4)
			addConsumer(t, js, delivery.Partition{Generation: 2, Index: 1, Count: 2}, 0, 0)
			addConsumer(t, js, delivery.Partition{Generation: 2, Index: 0, Count: 2}, 0, 0)
			if _, err := js.CreateConsumer(t.Context(), "DELIVERIES", jetstream.ConsumerConfig{Durable: "partition-of-somebody"}); err != nil {
				t.Fatal(err)
			}
			reader, err := js.CreateConsumer(t.Context(), "DELIVERIES", readerOf("partition-2-1"))
			if err != nil {
				t.Fatal(err)
			}
			batch, err := reader.Fetch(3)
			if err != nil {
				t.Fatal(err)
			}
			for range batch.Messages() {
			}
			if _, err := js.ResetConsumerToSequence(t.Context(), "DELIVERIES", "partition-2-1", 3); err != nil {
				t.Fatal(err)
			}
			want := []broker.PartitionState{
				{Partition: delivery.Partition{Generation: 2, Index: 0, Count: 2}},
				{Partition: delivery.Partition{Generation: 2, Index: 1, Count: 2}, Floor: 2, Delivered: 3, AckPending: 1},
				// One that has settled nothing is at the message before its first.
				{Partition: delivery.Partition{Generation: 10, Index: 0, Count: 1}, BeginsAfter: 4, Floor: 4, Delivered: 4},
			}
			states := partitionStates(t, conn)
			if diff := cmp.Diff(want, states, cmpopts.IgnoreFields(broker.PartitionState{}, "At", "DeliveredAt")); diff != "" {
				t.Error(diff)
			}
			if s := states[1]; s.DeliveredAt.IsZero() || s.At.Before(s.DeliveredAt) {
				t.Errorf("given at %s, now it is %s", s.DeliveredAt, s.At)
			}
			if s := states[0]; !s.DeliveredAt.IsZero() {
				t.Errorf("the idle one was given something at %s", s.DeliveredAt)
			}
		})
	}
}

// A list of consumers leaves out those whose server is away. They must not be taken
// for deleted.
func TestAPartitionWithoutAServerIsNotMissing(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	conn := cluster.Connect()
	if err := conn.Setup(t.Context(), broker.Topology{Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	leader := cluster.Leader("DELIVERIES")
	for _, s := range cluster.Servers() {
		if s != leader {
			conn = s.Connect()
		}
	}
	js := openJetStream(t, cluster.URL())
	withoutPartitions(t, js)
	addConsumer(t, js, delivery.Partition{Generation: 1, Count: 1}, 0, 0)
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leader.Kill()
	waitUntil(t, "the error is about the consumer", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		states, err := stream.Partitions(ctx)
		if err == nil && len(states) == 0 {
			t.Fatal("the partition is not there")
		}
		return err != nil && contains(err, "partition-1-0")
	})
}
