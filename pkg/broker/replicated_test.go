package broker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

// backlog publishes so many messages of one delivery each.
func backlog(tb testing.TB, conn *broker.Conn, messages int) {
	tb.Helper()
	const publishers = 16 // each has one message in flight, and one delivery in it
	var wg sync.WaitGroup
	for p := range publishers {
		publisher := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop()})
		running(tb, publisher.Run)
		wg.Go(func() {
			for n := p; n < messages; n += publishers {
				ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
				defer cancel()
				if err := publisher.Publish(ctx, newDelivery(tb, fmt.Sprint(n))); err != nil {
					tb.Errorf("publish: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// pendingOf returns how many messages are not acked. While a leader is elected
// there is no answer.
func pendingOf(tb testing.TB, stream *broker.Stream) (messages int, ok bool) {
	ctx, cancel := context.WithTimeout(tb.Context(), 500*time.Millisecond)
	defer cancel()
	b, err := stream.Pending(ctx)
	return int(b.Last) - int(b.First) + 1, err == nil
}

// awaitLeaders waits until the stream and the appliers' consumer answer, and
// returns the stream.
func awaitLeaders(tb testing.TB, conn *broker.Conn) *broker.Stream {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		stream, err := conn.OpenStream(tb.Context())
		if err == nil {
			if _, ok := pendingOf(tb, stream); ok {
				return stream
			}
		}
		if time.Now().After(deadline) {
			tb.Fatalf("no leader was elected: %v", err)
		}
	}
}

// settles starts a consumer and waits until nothing is pending. What a pull loses is
// handed out again later; what a server acknowledged in its last moment, too.
func settles(tb testing.TB, conn *broker.Conn) {
	tb.Helper()
	stream := awaitLeaders(tb, conn)
	r := newRecorder()
	ctx, stop := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- brokertest.NewConsumer(conn, r.handle).Run(ctx)
	}()
	r.await(tb, "nothing is pending", func() bool {
		messages, ok := pendingOf(tb, stream)
		return ok && messages == 0
	})
	stop()
	if err := <-ended; err != nil {
		tb.Error(err)
	}
	if all, again := r.handedOut(); again*20 > all {
		tb.Errorf("of %d deliveries %d were handed out again, want 5 %% at most", all, again)
	}
}

func TestABacklogIsSettledWithReplicas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ servers, replicas, messages int }{{3, 1, 3000}, {3, 3, 3000}, {5, 5, 600}} {
		t.Run(fmt.Sprintf("R%d", test.replicas), func(t *testing.T) {
			t.Parallel()
			conn := brokertest.StartCluster(t, test.servers).Connect()
			if err := conn.Setup(t.Context(), broker.Topology{Replicas: test.replicas}); err != nil {
				t.Fatal(err)
			}
			backlog(t, conn, test.messages)
			settles(t, conn)
		})
	}
}

func TestABacklogIsSettledAfterAServerEnded(t *testing.T) {
	t.Parallel()
	for how, end := range map[string]func(*brokertest.Server){"stopped": (*brokertest.Server).Stop, "killed": (*brokertest.Server).Kill} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			cluster := brokertest.StartCluster(t, 3)
			conn := cluster.ConnectSetUp()
			for i, server := range cluster.Servers() {
				backlog(t, conn, 3000)
				end(server)
				settles(t, conn)
				if t.Failed() {
					t.Fatalf("with server %d %s", i, how)
				}
				server.Start()
				cluster.WaitReady()
			}
		})
	}
}

// One of several servers is enough, and a connection moves to another one.
func TestAnyOfSeveralServersWillDo(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	cluster.ConnectSetUp()
	for i, server := range cluster.Servers() {
		server.Stop()
		conn := cluster.Connect()
		p := startPublisher(t, conn)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := p.Publish(ctx, newDelivery(t, "{}")); err != nil {
			t.Errorf("with server %d stopped: %v", i, err)
		}
		server.Start()
		cluster.WaitReady()
		cluster.Server((i + 1) % 3).Stop()
		if err := p.Publish(ctx, newDelivery(t, "{}")); err != nil {
			t.Errorf("with the next server stopped: %v", err)
		}
		cancel()
		cluster.Server((i + 1) % 3).Start()
		cluster.WaitReady()
	}
}
