package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// addPartitions makes the consumers of a generation, instead of those that there are.
func addPartitions(tb testing.TB, js jetstream.JetStream, generation, count int) (all []delivery.Partition) {
	tb.Helper()
	withoutPartitions(tb, js)
	for i := range count {
		p := delivery.Partition{Generation: generation, Index: i, Count: count}
		if _, err := js.CreateConsumer(tb.Context(), "DELIVERIES", jetstream.ConsumerConfig{
			Durable: p.Name(), AckPolicy: jetstream.AckAllPolicy, AckWait: 30 * time.Second, MaxDeliver: -1, MaxAckPending: -1,
		}); err != nil {
			tb.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// ackFloor is up to where the broker knows that all is settled.
func ackFloor(tb testing.TB, js jetstream.JetStream, p delivery.Partition) uint64 {
	tb.Helper()
	consumer, err := js.Consumer(tb.Context(), "DELIVERIES", p.Name())
	if err != nil {
		tb.Fatal(err)
	}
	return consumer.CachedInfo().AckFloor.Stream
}

// owner reads a feed as the owner of its partition does.
type owner struct {
	*broker.Feed
	stop func()

	mu     sync.Mutex
	bodies []string
	open   []broker.Received
	settle bool
}

func own(tb testing.TB, conn *broker.Conn, p delivery.Partition, settle bool) *owner {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	o := &owner{Feed: conn.NewFeed(p, zerolog.Nop()), settle: settle}
	var running sync.WaitGroup
	running.Go(func() { o.Run(ctx) }) // it ends with ctx
	running.Go(func() {
		for {
			select {
			case r := <-o.C():
				o.Took(r)
				o.take(r)
			case <-ctx.Done():
				return
			}
		}
	})
	o.stop = func() { cancel(); running.Wait() }
	tb.Cleanup(o.stop)
	return o
}

func (o *owner) take(r broker.Received) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range r.Deliveries {
		o.bodies = append(o.bodies, string(d.Body))
	}
	if o.settle {
		o.Settled(r.Receipt, len(r.Deliveries))
	} else {
		o.open = append(o.open, r)
	}
}

func (o *owner) got() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.bodies)
}

func (o *owner) await(tb testing.TB, want ...string) {
	tb.Helper()
	eventually(tb, fmt.Sprint(len(want), " deliveries have come"), func() bool { return len(o.got()) >= len(want) })
	if diff := cmp.Diff(want, o.got()); diff != "" {
		tb.Fatal(diff)
	}
}

// publishIn publishes deliveries of communities, one message each.
func publishIn(tb testing.TB, p *broker.Publisher, slot int, bodies ...string) {
	tb.Helper()
	for _, body := range bodies {
		d := newDelivery(tb, body)
		d.Slot = slot
		if err := p.Publish(tb.Context(), d); err != nil {
			tb.Fatal(err)
		}
	}
}

func TestAFeedHasItsPartitionInOrder(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.ConnectSetUp(), openJetStream(t, server.URL())
	partitions := addPartitions(t, js, 7, 2)
	p := startPublisher(t, conn)
	publishIn(t, p, 1, "a1", "a2")
	publishIn(t, p, 2, "b1")
	publishIn(t, p, 3, "c1")
	first, second := own(t, conn, partitions[0], true), own(t, conn, partitions[1], true)
	first.await(t, "a1", "a2", "c1")
	second.await(t, "b1")
	publishIn(t, p, 2, "b2")
	second.await(t, "b1", "b2")
	for _, partition := range partitions {
		eventually(t, "all is acked, with what is of others", func() bool { return ackFloor(t, js, partition) == 5 })
	}
}

// A partition without deliveries reads what comes for others in portions. Its own next one
// comes all the same, and so does a message that looks like a status of the broker.
func TestAPartitionThatRestsReadsOn(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.ConnectSetUp(), openJetStream(t, server.URL())
	partitions := addPartitions(t, js, 7, 2)
	p := startPublisher(t, conn)
	resting := own(t, conn, partitions[1], true)
	var others []string
	for range 300 { // more than one request brings
		others = append(others, "of others")
	}
	began := time.Now()
	eventually(t, "it rests", func() bool {
		publishIn(t, p, 1, others[:10]...)
		return time.Since(began) > time.Second
	})
	publishIn(t, p, 1, others...)
	server.Forge(nil, map[string]string{"Status": "404", "Description": "No Messages"})
	publishIn(t, p, 2, "b1")
	publishIn(t, p, 1, others...)
	publishIn(t, p, 2, "b2")
	eventually(t, "its own have come", func() bool { return slices.Contains(resting.got(), "b2") })
	// One without a webhook is in this partition, too.
	if diff := cmp.Diff([]string{"", "b1", "b2"}, resting.got()); diff != "" {
		t.Error(diff)
	}
}

// A new owner begins behind the ack floor, at once and in order, whatever the owner
// before had read.
func TestANewOwnerBeginsAtTheAckFloor(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.ConnectSetUp(), openJetStream(t, server.URL())
	partition := addPartitions(t, js, 7, 1)[0]
	p := startPublisher(t, conn)
	publishIn(t, p, 1, "1", "2", "3", "4")
	before := own(t, conn, partition, false)
	before.await(t, "1", "2", "3", "4")
	before.Settled(before.open[0].Receipt, 1)
	before.Settled(before.open[2].Receipt, 1) // behind one that is not settled
	if err := before.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	before.stop()
	publishIn(t, p, 1, "5")
	after := own(t, conn, partition, true)
	after.await(t, "2", "3", "4", "5")
	eventually(t, "all is acked", func() bool { return ackFloor(t, js, partition) == 5 })
}

// An owner that was frozen moves the floor back when it wakes up. The owner after it
// moves it on again.
func TestAFloorThatWasMovedBackIsWrittenAgain(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.ConnectSetUp(), openJetStream(t, server.URL())
	partition := addPartitions(t, js, 7, 1)[0]
	publishIn(t, startPublisher(t, conn), 1, "1", "2", "3", "4")
	own(t, conn, partition, true).await(t, "1", "2", "3", "4")
	eventually(t, "the floor is written", func() bool { return ackFloor(t, js, partition) == 4 })
	if _, err := js.ResetConsumerToSequence(t.Context(), "DELIVERIES", partition.Name(), 2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is written again", func() bool { return ackFloor(t, js, partition) == 4 })
}

// Each write of a floor takes two fsyncs next to those of the stream. A partition that
// has no deliveries writes its floor less often than one that settles.
func TestAnIdlePartitionWritesItsFloorLessOften(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.ConnectSetUp(), openJetStream(t, server.URL())
	partitions := addPartitions(t, js, 7, 2)
	p := startPublisher(t, conn)
	for _, partition := range partitions {
		own(t, conn, partition, true)
	}
	var writes [2]int
	var floors [2]uint64
	began := time.Now()
	eventually(t, "the busy partition has written its floor ten times", func() bool {
		publishIn(t, p, 1, "1")
		for i, partition := range partitions {
			if floor := ackFloor(t, js, partition); floor != floors[i] {
				writes[i], floors[i] = writes[i]+1, floor
			}
		}
		return writes[0] >= 10
	})
	if most := int(time.Since(began)/time.Second) + 1; writes[1] > most {
		t.Errorf("the idle one has written its floor %d times, want %d at most", writes[1], most)
	}
	last := ackFloor(t, js, partitions[0])
	eventually(t, "the idle one follows", func() bool { return ackFloor(t, js, partitions[1]) >= last })
}

// The connection is lost while deliveries are with the owner. They are not handed out
// again, and their messages are acked once they are settled.
func TestAFeedGoesOnAfterALostConnection(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	partition := addPartitions(t, openJetStream(t, server.URL()), 7, 1)[0]
	p := startPublisher(t, conn)
	publishIn(t, p, 1, "1", "2")
	owner := own(t, conn, partition, false)
	owner.await(t, "1", "2")
	server.Stop()
	eventually(t, "the feed knows", func() bool { return !owner.IsReading() })
	owner.Settled(owner.open[0].Receipt, 1)
	server.Start()
	if err := conn.WaitConnected(t.Context()); err != nil {
		t.Fatal(err)
	}
	publishIn(t, p, 1, "3")
	owner.await(t, "1", "2", "3")
	for _, r := range owner.open[1:] {
		owner.Settled(r.Receipt, 1)
	}
	js := openJetStream(t, server.URL())
	eventually(t, "all is acked", func() bool { return ackFloor(t, js, partition) == 3 })
}

// A generation ends at a message: those behind it are of the next one.
func TestAFeedEndsWithItsGeneration(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.ConnectSetUp(), openJetStream(t, server.URL())
	partition := addPartitions(t, js, 7, 1)[0]
	p := startPublisher(t, conn)
	publishIn(t, p, 1, "1", "2")
	owner := own(t, conn, partition, false)
	owner.await(t, "1", "2")
	owner.EndAt(2)
	publishIn(t, p, 1, "3")
	owner.Settled(owner.open[0].Receipt, 1)
	if owner.IsFinished() {
		t.Error("it is finished while one is not settled")
	}
	owner.Settled(owner.open[1].Receipt, 1)
	eventually(t, "it is finished", owner.IsFinished)
	if got := owner.got(); len(got) != 2 {
		t.Errorf("of the next generation came %q", got[2:])
	}
	if err := owner.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if floor := ackFloor(t, js, partition); floor != 2 {
		t.Errorf("the floor is %d, want 2", floor)
	}
}

// The answer to the last write of the floor is lost with the connection. The next session
// begins behind messages that the feed does not know to be covered, and never reads them
// again.
func TestAFeedEndsThoughTheAnswerToItsFloorIsLost(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.ConnectSetUp(), openJetStream(t, server.URL())
	partition := addPartitions(t, js, 7, 1)[0]
	publishIn(t, startPublisher(t, conn), 1, "1", "2")
	owner := own(t, conn, partition, false)
	owner.await(t, "1", "2")
	if _, err := js.ResetConsumerToSequence(t.Context(), "DELIVERIES", partition.Name(), 3); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	eventually(t, "the feed knows", func() bool { return !owner.IsReading() })
	for _, r := range owner.open {
		owner.Settled(r.Receipt, 1)
	}
	server.Start()
	owner.EndAt(2)
	eventually(t, "it is finished", owner.IsFinished)
	if got := owner.got(); len(got) != 2 {
		t.Errorf("the owner got %q again", got[2:])
	}
}

// The end may be known before the messages up to it are read.
func TestAFeedIsNotFinishedBeforeItHasReadAll(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn, js := server.ConnectSetUp(), openJetStream(t, server.URL())
	partition := addPartitions(t, js, 1, 1)[0]
	p := startPublisher(t, conn)
	publishIn(t, p, 1, "1")
	owner := own(t, conn, partition, true)
	owner.await(t, "1")
	eventually(t, "it is acked", func() bool { return ackFloor(t, js, partition) == 1 })
	owner.EndAt(2)
	if owner.IsFinished() {
		t.Error("it is finished while a message is to come")
	}
	publishIn(t, p, 1, "2")
	owner.await(t, "1", "2")
	eventually(t, "it is finished", owner.IsFinished)
}

// On three servers, whichever is killed, the order holds and all is acked.
func TestAFeedOnThreeServers(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	conn := cluster.ConnectSetUp()
	partition := addPartitions(t, openJetStream(t, cluster.URL()), 7, 1)[0]
	p := startPublisher(t, conn)
	var want []string
	more := func(n int) {
		for range n {
			want = append(want, fmt.Sprint(len(want)))
			publishIn(t, p, 1, want[len(want)-1])
		}
	}
	more(300) // more than one pull
	owner := own(t, conn, partition, true)
	owner.await(t, want...)
	for range 2 {
		killed := cluster.Leader("DELIVERIES")
		killed.Kill()
		eventually(t, "there is a leader", func() bool { return p.Publish(t.Context(), newDelivery(t, "other")) == nil })
		more(20)
		eventually(t, "all has come", func() bool { got := owner.got(); return len(got) > 0 && got[len(got)-1] == want[len(want)-1] })
		killed.Start()
		cluster.WaitReady()
	}
	got := slices.DeleteFunc(owner.got(), func(body string) bool { return body == "other" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// An owner that stops while the broker is restored from a backup writes no floor of the
// time before.
func TestAFloorOfTheTimeBeforeARestoreIsNotWritten(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	all, err := conn.Partitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	publisher := startPublisher(t, conn)
	p := all[0].Partition
	slot := p.Index + 1
	restore := server.Backup()
	o := own(t, conn, p, false)
	publishIn(t, publisher, slot, "1", "2", "3")
	o.await(t, "1", "2", "3")
	o.stop()
	before := conn.Reconnects()
	restore()
	for _, r := range o.open {
		o.Settled(r.Receipt, 1)
	}
	eventually(t, "the broker is there again", func() bool { return conn.Reconnects() > before && conn.Connected() })
	if err := o.Flush(t.Context()); !errors.Is(err, broker.ErrNotConnected) {
		t.Errorf("the floor is written: %v", err)
	}
	next := own(t, conn, p, true)
	publishIn(t, publisher, slot, "4", "5")
	next.await(t, "4", "5")
}
