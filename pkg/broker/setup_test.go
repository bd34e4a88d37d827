package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

var allStreams = []string{"DELIVERIES", "SAMPLES", "REJECTIONS", "KV_webhooks", "KV_state"}

func openJetStream(tb testing.TB, url string) jetstream.JetStream {
	tb.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

func configOf(tb testing.TB, js jetstream.JetStream, stream string) jetstream.StreamConfig {
	tb.Helper()
	s, err := js.Stream(tb.Context(), stream)
	if err != nil {
		tb.Fatal(err)
	}
	return s.CachedInfo().Config
}

func differences(tb testing.TB, conn *broker.Conn, t broker.Topology) (all []string) {
	tb.Helper()
	plan, err := conn.PlanSetup(tb.Context(), t)
	if err != nil {
		tb.Fatal(err)
	}
	for _, d := range plan.Differences {
		all = append(all, d.String())
	}
	return all
}

func TestSetupKeepsWhatIsNotNamed(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	conn, js := cluster.Connect(), openJetStream(t, cluster.URL())
	want := broker.Topology{Replicas: 3, MaxBytes: 1 << 30, SamplesMaxAge: time.Hour}
	if err := conn.Setup(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	for _, again := range []broker.Topology{{}, want} {
		if got := differences(t, conn, again); got != nil {
			t.Errorf("a second setup with %+v would change %q", again, got)
		}
	}
	if err := js.DeleteStream(t.Context(), "KV_state"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	for _, stream := range allStreams {
		if got := configOf(t, js, stream).Replicas; got != 3 {
			t.Errorf("%s has %d copies after a plain setup, want 3", stream, got)
		}
	}
	if got := configOf(t, js, "DELIVERIES").MaxBytes; got != 1<<30 {
		t.Errorf("a plain setup makes the bound %d", got)
	}
	if got := configOf(t, js, "SAMPLES").MaxAge; got != time.Hour {
		t.Errorf("a plain setup keeps samples for %s", got)
	}
	if err := conn.Setup(t.Context(), broker.Topology{MaxBytes: broker.NoLimit}); err != nil {
		t.Fatal(err)
	}
	if cfg := configOf(t, js, "DELIVERIES"); cfg.MaxBytes != -1 || cfg.Replicas != 3 {
		t.Errorf("lifting the bound makes %d bytes, %d copies", cfg.MaxBytes, cfg.Replicas)
	}
}

func TestSetupCorrectsWhatCoinhookReliesOn(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.Connect(), openJetStream(t, server.URL())
	if got := differences(t, conn, broker.Topology{}); len(got) != len(allStreams)+broker.DefaultPartitions+1 {
		t.Errorf("of an empty broker differ %q", got)
	}
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	cfg := configOf(t, js, "DELIVERIES")
	cfg.MaxAge, cfg.Discard, cfg.Compression = time.Hour, jetstream.DiscardOld, jetstream.S2Compression
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	consumer, err := js.Consumer(t.Context(), "DELIVERIES", "partition-1-0")
	if err != nil {
		t.Fatal(err)
	}
	limited := consumer.CachedInfo().Config
	limited.MaxDeliver = 3
	if _, err := js.UpdateConsumer(t.Context(), "DELIVERIES", limited); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"stream DELIVERIES: max_age is 1h0m0s, should be 0s",
		"stream DELIVERIES: discard is DiscardOld, should be DiscardNew",
		"consumer partition-1-0: max_deliver is 3, should be -1",
	}
	if diff := cmp.Diff(want, differences(t, conn, broker.Topology{})); diff != "" {
		t.Error(diff)
	}
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	if got := differences(t, conn, broker.Topology{}); got != nil {
		t.Errorf("after setup differ %q", got)
	}
	if got := configOf(t, js, "DELIVERIES").Compression; got != jetstream.S2Compression {
		t.Errorf("setup undoes the admin's compression")
	}
}

func TestSetupWarnsOfWhatIsLost(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	conn := cluster.ConnectSetUp()
	p := startPublisher(t, conn)
	if err := p.Publish(t.Context(), newDelivery(t, "kept")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		topology broker.Topology
		risks    int
	}{
		{broker.Topology{}, 0},
		{broker.Topology{MaxBytes: 1 << 30}, 0},
		{broker.Topology{MaxBytes: 10}, 1},
		{broker.Topology{Replicas: 1}, len(allStreams)},
	} {
		plan, err := conn.PlanSetup(t.Context(), test.topology)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Risks) != test.risks {
			t.Errorf("%+v has the risks %q, want %d", test.topology, plan.Risks, test.risks)
		}
	}
}

func TestSetupRefusesCopiesOnOneServer(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).Connect()
	if err := conn.Setup(t.Context(), broker.Topology{Replicas: 3}); !errors.Is(err, broker.ErrUnfit) || !contains(err, "cluster of at least 3") {
		t.Errorf("error %v", err)
	}
	if got := differences(t, conn, broker.Topology{}); len(got) != len(allStreams)+broker.DefaultPartitions+1 {
		t.Errorf("a refused setup has made something: %q", got)
	}
	if err := brokertest.StartCluster(t, 3).Connect().Setup(t.Context(), broker.Topology{Replicas: 5}); err == nil || !contains(err, "5 NATS servers") {
		t.Errorf("5 copies on 3 servers: error %v", err)
	}
}

// A consumer that was deleted begins after what the audit has found settled.
func TestSetupBeginsAfterWhatIsAudited(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.ConnectSetUp(), openJetStream(t, server.URL())
	p := startPublisher(t, conn)
	for _, body := range []string{"1", "2", "3"} {
		if err := p.Publish(t.Context(), newDelivery(t, body)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := conn.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	audited := broker.Topology{Audited: func(_ context.Context, incarnation string, _ *broker.Stream) (uint64, error) {
		if incarnation != want {
			t.Errorf("asked about the stream %s, want %s", incarnation, want)
		}
		return 2, nil
	}}
	for range 2 { // again with the consumer there
		if err := conn.Setup(t.Context(), audited); err != nil {
			t.Fatal(err)
		}
		stream := awaitLeaders(t, conn)
		b, err := stream.Pending(t.Context())
		if err != nil || b.First != 1 {
			t.Fatalf("the backlog of the first consumer is %+v, %v", b.Extent, err)
		}
	}
	withoutPartitions(t, js)
	for range 2 {
		if err := conn.Setup(t.Context(), audited); err != nil {
			t.Fatal(err)
		}
		b, err := awaitLeaders(t, conn).Pending(t.Context())
		if err != nil || b.First != 3 || b.Last != 3 {
			t.Fatalf("the backlog of the second consumer is %+v, %v", b.Extent, err)
		}
	}
	r := newRecorder()
	running(t, brokertest.NewConsumer(conn, r.handle).Run)
	r.await(t, "the third has come", func() bool { return len(r.bodies()) > 0 })
	if diff := cmp.Diff([]string{"3"}, r.bodies()); diff != "" {
		t.Error(diff)
	}
}

// While nobody leads, an admin must not be sent to `coinhook setup`.
func TestAnElectionIsToldFromAMissingStream(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	cluster.ConnectSetUp()
	conn := cluster.Server(0).Connect()
	p := startPublisher(t, conn)
	if err := p.Publish(t.Context(), newDelivery(t, "led")); err != nil {
		t.Fatal(err)
	}
	cluster.Server(1).Kill()
	cluster.Server(2).Kill()
	waitUntil(t, "the error says that there is no leader", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.Publish(ctx, newDelivery(t, "in between"))
		if err != nil && contains(err, "coinhook setup") {
			t.Fatalf("error %v", err)
		}
		return errors.Is(err, broker.ErrNoLeader)
	})
	if err := conn.Ready(t.Context()); err != nil && contains(err, "coinhook setup") {
		t.Errorf("it is not ready: %v", err)
	}
}
