package broker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// senders publish at a steady rate, each delivery once, and remember how each
// was answered.
type senders struct {
	mu       sync.Mutex
	accepted map[delivery.ID]bool // false: answered 503
	last     time.Time            // of an acceptance
}

const (
	sendEvery   = 10 * time.Millisecond
	senderWaits = 2 * time.Second
	// manyRefused are enough to see which share of them is stored. One message is in
	// doubt each time, and on a busy machine it may have more than 20 deliveries.
	manyRefused = 500
)

// send sends until the context ends, and returns once all are answered.
func (s *senders) send(ctx context.Context, tb testing.TB, p *broker.Publisher) {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(sendEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			d := newDelivery(tb, "{}")
			ctx, cancel := context.WithTimeout(context.Background(), senderWaits)
			defer cancel()
			err := p.Publish(ctx, d)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.accepted[d.ID] = err == nil
			if err == nil {
				s.last = time.Now()
			}
		})
	}
}

func (s *senders) lastAccepted() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *senders) refused() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ok := range s.accepted {
		if !ok {
			n++
		}
	}
	return n
}

// storedIDs are all deliveries of the stream.
func storedIDs(tb testing.TB, conn *broker.Conn) map[delivery.ID]int {
	tb.Helper()
	// A server that was away takes its time to catch up.
	for deadline := time.Now().Add(40 * time.Second); ; {
		stored, err := readIDs(tb, awaitLeaders(tb, conn))
		if err == nil {
			return stored
		}
		if time.Now().After(deadline) {
			tb.Fatal(err)
		}
	}
}

func readIDs(tb testing.TB, stream *broker.Stream) (map[delivery.ID]int, error) {
	extent, err := stream.Extent(tb.Context())
	if err != nil {
		return nil, err
	}
	stored := map[delivery.ID]int{}
	return stored, stream.Each(tb.Context(), extent, func(m broker.Message) error {
		for _, d := range m.Deliveries {
			stored[d.ID]++
		}
		return nil
	})
}

// A sender that is answered 503 sends again, so few of those may be stored. All
// that are answered 202 are.
func TestFewAreStoredThoughTheyAreAnswered503(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		begin, end func(leader *brokertest.Server)
		// at has the ingress connected to the leader alone.
		at bool
	}{
		"the leader stands still": {begin: (*brokertest.Server).Freeze, end: (*brokertest.Server).Thaw},
		"the leader is killed": {
			begin: (*brokertest.Server).Kill, end: (*brokertest.Server).Start,
		},
		"the leader and the ingress are in a minority": {
			begin: (*brokertest.Server).Isolate, end: (*brokertest.Server).Rejoin, at: true,
		},
		"the ingress is connected to a leader that stands still": {
			begin: (*brokertest.Server).Freeze, end: (*brokertest.Server).Thaw, at: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := brokertest.StartCluster(t, 3)
			admin := cluster.ConnectSetUp()
			leader := cluster.Leader("DELIVERIES")
			conn := admin
			if test.at {
				conn = leader.Connect()
			}
			publisher := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop(), Timeout: 500 * time.Millisecond})
			running(t, publisher.Run)
			s := senders{accepted: map[delivery.ID]bool{}}
			ctx, stop := context.WithCancel(t.Context())
			sent := make(chan struct{})
			go func() { s.send(ctx, t, publisher); close(sent) }()
			waitUntil(t, "it accepts", func() bool { return !s.lastAccepted().IsZero() })
			// The others may elect a leader before many are answered 503. Then it ends, too.
			for s.refused() < manyRefused {
				began := time.Now()
				test.begin(leader)
				waitUntil(t, "many are answered 503, or it accepts again", func() bool {
					return s.refused() >= manyRefused || s.lastAccepted().After(began.Add(senderWaits))
				})
				test.end(leader)
				healed := time.Now()
				waitUntil(t, "it accepts again", func() bool { return s.lastAccepted().After(healed) })
				cluster.WaitReady()
				if !test.at {
					leader = cluster.Leader("DELIVERIES")
				}
			}
			stop()
			<-sent
			check(t, s.accepted, storedIDs(t, admin))
		})
	}
}

// While the followers are slow, the leader answers each further attempt that the
// message is in process. It is stored once they are there again.
func TestPublishWaitsForASlowQuorum(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	admin := cluster.ConnectSetUp()
	leader := cluster.Leader("DELIVERIES")
	registry := prometheus.NewRegistry()
	publisher := broker.NewPublisher(leader.Connect(), broker.PublisherOptions{Log: zerolog.Nop(), Metrics: registry, Timeout: 300 * time.Millisecond})
	running(t, publisher.Run)
	for _, s := range cluster.Servers() {
		if s != leader {
			s.Freeze()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d := newDelivery(t, "{}")
	result := make(chan error, 1)
	go func() { result <- publisher.Publish(ctx, d) }()
	waitUntil(t, "it was tried four times", func() bool { return counted(t, registry, "coinhook_publish_attempts_total", "unknown") >= 4 })
	for _, s := range cluster.Servers() {
		s.Thaw()
	}
	if err := <-result; err != nil {
		t.Errorf("error %v", err)
	}
	if n := storedIDs(t, admin)[d.ID]; n != 1 {
		t.Errorf("it is stored %d times", n)
	}
}

// counted reads one counter, by the value of its only label.
func counted(tb testing.TB, registry *prometheus.Registry, name, label string) float64 {
	tb.Helper()
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func waitUntil(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(40 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

func check(tb testing.TB, accepted map[delivery.ID]bool, stored map[delivery.ID]int) {
	tb.Helper()
	refused, unknown := 0, 0
	for id, ok := range accepted {
		switch {
		case ok && stored[id] != 1:
			tb.Errorf("%s was accepted and is stored %d times", id, stored[id])
		case stored[id] > 1:
			tb.Errorf("%s is stored %d times", id, stored[id])
		case !ok:
			refused++
			unknown += stored[id]
		}
	}
	tb.Logf("%d sent, %d answered 503, %d of those stored", len(accepted), refused, unknown)
	if unknown*20 > refused {
		tb.Errorf("of %d answered 503 %d are stored, want 5 %% at most", refused, unknown)
	}
}
