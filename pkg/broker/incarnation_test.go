package broker_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

// A stream that was deleted and made again uses its sequences again; deliveries
// tell which of the two they are from.
func TestDeliveriesTellTheStreamTheyAreFrom(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	r := newRecorder()
	running(t, brokertest.NewConsumer(conn, r.handle).Run)
	p := startPublisher(t, conn)
	if err := p.Publish(t.Context(), newDelivery(t, "before")); err != nil {
		t.Fatal(err)
	}
	r.await(t, "the first delivery has come", func() bool { return len(r.bodies()) == 1 })

	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "DELIVERIES"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), newDelivery(t, "after")); err != nil {
		t.Fatal(err)
	}
	r.await(t, "the second delivery has come", func() bool { return len(r.bodies()) == 2 })

	now, err := conn.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before, after := r.batches[0][0], r.batches[1][0]
	if before.Position != after.Position {
		t.Fatalf("the sequences are not used again: %v and %v", before.Position, after.Position)
	}
	if before.Incarnation == "" || before.Incarnation == after.Incarnation || after.Incarnation != now {
		t.Errorf("incarnations %q and %q, now it is %q", before.Incarnation, after.Incarnation, now)
	}
}
