package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	pending = "coinhook_pending_deliveries"
	stalled = "coinhook_settling_stalled_seconds"

	standsStill = "settling has stalled: deliveries wait and none is settled"
	goesOn      = "settling goes on"

	acksNone = "an applier has 3 messages of partition 0 of 1 (generation 1) and settles none"
)

// observed is a monitor and what it shows.
type observed struct {
	*broker.Monitor
	metric func(string) float64
	log    *logbook
}

// stallLimit is so long that a busy machine does not stand still for it.
const stallLimit = 2 * time.Second

func observe(tb testing.TB, conn *broker.Conn) observed {
	tb.Helper()
	registry, log := prometheus.NewRegistry(), &logbook{}
	m := broker.NewMonitor(conn, broker.MonitorOptions{Limit: stallLimit, Log: zerolog.New(log), Metrics: registry})
	running(tb, m.Run)
	return observed{m, func(name string) float64 { return value(tb, registry, name) }, log}
}

// awaitStall waits until the monitor says that settling stands still, and why.
func (o observed) awaitStall(t *testing.T, why string) {
	t.Helper()
	await(t, "settling has stalled", func() bool { return o.metric(stalled) > 0 && len(o.log.with(standsStill)) > 0 })
	if err := o.Settles(t.Context()); err == nil || !strings.Contains(err.Error(), "while 3 deliveries are pending: "+why) {
		t.Errorf("the check says %v, want how many wait and: %s", err, why)
	}
	if line := o.log.with(standsStill)[0]; line["level"] != "warn" || line["why"] != why || line["pending_deliveries"] != 3.0 {
		t.Errorf("the warning is %v", line)
	}
}

// awaitSettled waits until nothing is pending, and sees that each was said once.
func (o observed) awaitSettled(t *testing.T) {
	t.Helper()
	await(t, "all is settled", func() bool { return o.metric(pending) == 0 && len(o.log.with(goesOn)) > 0 })
	if err := o.Settles(t.Context()); err != nil || o.metric(stalled) != 0 {
		t.Errorf("all is settled, and the check says %v, stalled for %v s", err, o.metric(stalled))
	}
	if began, ended := len(o.log.with(standsStill)), len(o.log.with(goesOn)); began != 1 || ended != 1 {
		t.Errorf("it was said %d times that settling stands still, and %d times that it goes on", began, ended)
	}
}

func TestSettlingThatStandsStillIsSeen(t *testing.T) {
	t.Parallel()
	t.Run("without an applier", func(t *testing.T) {
		t.Parallel()
		conn := brokertest.Start(t).ConnectSetUp()
		publish(t, startPublisher(t, conn), "a", "b", "c")
		o := observe(t, conn)
		o.awaitStall(t, "no applier is asking for deliveries")
		running(t, brokertest.NewConsumer(conn, newRecorder().handle).Run)
		o.awaitSettled(t)
	})
	t.Run("with one that is stuck", func(t *testing.T) {
		t.Parallel()
		conn := setUpPartitions(t, brokertest.Start(t), 1)
		free := make(chan struct{})
		r := newRecorder()
		running(t, brokertest.NewConsumer(conn, func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
			<-free
			return r.handle(ctx, batch)
		}).Run)
		publish(t, startPublisher(t, conn), "a", "b", "c")
		awaitHandedOut(t, conn, 3)
		o := observe(t, conn)
		// Its pulls go on while it has room.
		o.awaitStall(t, acksNone)
		close(free)
		o.awaitSettled(t)
	})
	t.Run("while messages get lost on their way", func(t *testing.T) {
		t.Parallel()
		server := brokertest.Start(t)
		seesLostMessages(t, server, setUpPartitions(t, server, 1))
	})
	t.Run("while replicated messages get lost", func(t *testing.T) {
		t.Parallel()
		cluster := brokertest.StartCluster(t, 3)
		conn := cluster.Connect()
		if err := conn.Setup(t.Context(), broker.Topology{Replicas: 3, Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		seesLostMessages(t, cluster.Server(0), conn)
	})
}

// seesLostMessages takes messages in the appliers' place, and acks none.
func seesLostMessages(t *testing.T, server *brokertest.Server, conn *broker.Conn) {
	t.Helper()
	consumer, err := js(t, server).CreateConsumer(t.Context(), "DELIVERIES", readerOf("partition-1-0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { takeAll(ctx, consumer); close(done) }()
	publish(t, startPublisher(t, conn), "a", "b", "c")
	awaitHandedOut(t, conn, 3)
	o := observe(t, conn)
	o.awaitStall(t, acksNone)
	stop()
	<-done
	running(t, brokertest.NewConsumer(conn, newRecorder().handle).Run)
	o.awaitSettled(t)
}

// readerOf is a consumer through which an owner reads a partition.
func readerOf(partition string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name: "reading-" + partition + "-test", AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: time.Minute,
	}
}

// awaitHandedOut waits until so many messages are with somebody.
func awaitHandedOut(t *testing.T, conn *broker.Conn, messages int) {
	t.Helper()
	stream := awaitLeaders(t, conn)
	await(t, "all are handed out", func() bool {
		p, err := stream.Pending(t.Context())
		return err == nil && p.Partitions[0].AckPending == messages
	})
}

// takeAll asks for messages until ctx is done, and acks none. A cluster that has
// just started may have no leader yet.
func takeAll(ctx context.Context, consumer jetstream.Consumer) {
	for ctx.Err() == nil {
		batch, err := consumer.Fetch(10, jetstream.FetchContext(ctx))
		if err != nil {
			continue
		}
		for range batch.Messages() {
		}
	}
}

func TestDeliveriesThatWaitForAKnownCauseAreNoStall(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	seen := make(chan delivery.Delivery, 1000)
	running(t, brokertest.NewConsumer(conn, func(_ context.Context, batch []delivery.Delivery) (verdicts []delivery.Verdict) {
		for _, d := range batch {
			select {
			case seen <- d:
			default:
			}
			verdicts = append(verdicts, delivery.Retry(time.Millisecond, errors.New("away")))
		}
		return verdicts
	}).Run)
	publish(t, startPublisher(t, conn), "a")
	d := <-seen
	if err := conn.Notice("applier-1").Put(t.Context(), broker.Trouble{Retried: &broker.TroubleRetried{
		Why: "PostgreSQL is away", First: d.Position.Sequence, Last: d.Position.Sequence, Slots: []int{d.InSlot()},
	}}); err != nil {
		t.Fatal(err)
	}
	o := observe(t, conn)
	await(t, "it is overdue for long", func() bool { return o.metric(overdue) == 1 && o.metric(oldest) > 2*stallLimit.Seconds() })
	if err := o.Settles(t.Context()); err != nil || o.metric(stalled) != 0 || len(o.log.with(standsStill)) != 0 {
		t.Errorf("it waits for a known cause, and the check says %v", err)
	}
	if n := o.metric(pending); n != 1 {
		t.Errorf("%v deliveries are pending, want 1", n)
	}
}
