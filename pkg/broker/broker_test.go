package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// A nats-server of a cluster leaves these behind when it is stopped.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
	)
}

func newDelivery(tb testing.TB, body string) delivery.Delivery {
	tb.Helper()
	id := delivery.NewID()
	return delivery.Delivery{
		ID: id, WebhookID: "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", Revision: 3,
		ReceivedAt: time.Now().UTC().Truncate(time.Microsecond),
		Headers:    []delivery.Header{{Name: "X-Event", Value: "order"}}, Body: []byte(body),
	}
}

// running runs f until the test ends.
func running(tb testing.TB, f func(context.Context) error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("running: %v", err)
		}
	})
}

func startPublisher(tb testing.TB, conn *broker.Conn) *broker.Publisher {
	tb.Helper()
	p := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop(), Timeout: 500 * time.Millisecond})
	running(tb, p.Run)
	return p
}

// recorder settles everything and remembers what it was given.
type recorder struct {
	mu      sync.Mutex
	batches [][]delivery.Delivery
	settle  atomic.Bool
	got     chan struct{}
}

func newRecorder() *recorder {
	r := &recorder{got: make(chan struct{}, 1)}
	r.settle.Store(true)
	return r
}

func (r *recorder) handle(_ context.Context, batch []delivery.Delivery) []delivery.Verdict {
	r.mu.Lock()
	r.batches = append(r.batches, slices.Clone(batch))
	r.mu.Unlock()
	verdicts := make([]delivery.Verdict, len(batch))
	if !r.settle.Load() {
		for i := range verdicts {
			verdicts[i] = delivery.Retry(time.Millisecond, errors.New("away"))
		}
	}
	select {
	case r.got <- struct{}{}:
	default:
	}
	return verdicts
}

func (r *recorder) bodies() (bodies []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.batches {
		for _, d := range b {
			bodies = append(bodies, string(d.Body))
		}
	}
	return bodies
}

// handedOut counts what came, and what of it did not come for the first time.
func (r *recorder) handedOut() (all, again int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	came := map[delivery.ID]bool{}
	for _, batch := range r.batches {
		for _, d := range batch {
			all++
			if d.Attempt > 1 || came[d.ID] {
				again++
			}
			came[d.ID] = true
		}
	}
	return all, again
}

// await waits until the condition holds, looking again at each batch.
func (r *recorder) await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-r.got:
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			tb.Fatalf("waited in vain until %s; got %d deliveries", what, len(r.bodies()))
		}
	}
}

func TestDeliveriesArriveAsTheyWerePublished(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	p := startPublisher(t, conn)
	want := newDelivery(t, "body \x00\xff")
	if err := p.Publish(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	running(t, brokertest.NewConsumer(conn, r.handle).Run)
	r.await(t, "the delivery has come", func() bool { return len(r.bodies()) == 1 })
	want.Position, want.Attempt = delivery.Position{Sequence: 1}, 1
	incarnation, err := conn.Incarnation(t.Context())
	if err != nil || incarnation == "" {
		t.Fatalf("the stream's incarnation is %q, %v", incarnation, err)
	}
	want.Incarnation = incarnation
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := stream.Message(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	want.StoredAt = m.StoredAt
	if diff := cmp.Diff(want, r.batches[0][0]); diff != "" {
		t.Error(diff)
	}
}

func TestPublisherSharesMessages(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	p := startPublisher(t, conn)
	const senders, each = 64, 20
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for n := range each {
				if err := p.Publish(t.Context(), newDelivery(t, fmt.Sprint(s, " ", n))); err != nil {
					t.Errorf("publish: %v", err)
				}
			}
		})
	}
	wg.Wait()
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	backlog, err := stream.Pending(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for seq := backlog.First; seq <= backlog.Last; seq++ {
		deliveries, err := stream.Deliveries(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range deliveries {
			seen[string(d.Body)] = true
		}
	}
	if len(seen) != senders*each {
		t.Errorf("%d different deliveries in the stream, want %d", len(seen), senders*each)
	}
	if messages := backlog.Last; messages > senders*each/2 {
		t.Errorf("%d messages carry %d deliveries of %d senders: no commit is shared", messages, senders*each, senders)
	}
}

func TestPublisherKeepsToTheSizes(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	p := startPublisher(t, conn)
	big := string(make([]byte, 512<<10))
	var wg sync.WaitGroup
	for range 6 { // together far beyond what one message may hold
		wg.Go(func() {
			if err := p.Publish(t.Context(), newDelivery(t, big)); err != nil {
				t.Errorf("publish: %v", err)
			}
		})
	}
	wg.Wait()
	if err := conn.CheckPayload(512 << 10); err != nil {
		t.Error(err)
	}
	if err := conn.CheckPayload(2 << 20); err == nil {
		t.Error("bodies of 2 MiB are said to fit")
	}
}

func TestPublishWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()

	t.Run("a restart is waited for", func(t *testing.T) {
		t.Parallel()
		server := brokertest.Start(t)
		conn := server.ConnectSetUp()
		p := startPublisher(t, conn)
		server.Stop()
		result := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			result <- p.Publish(ctx, newDelivery(t, "patient"))
		}()
		server.Start()
		if err := <-result; err != nil {
			t.Errorf("publish across a restart: %v", err)
		}
	})

	t.Run("the sender is told within its time", func(t *testing.T) {
		t.Parallel()
		server := brokertest.Start(t)
		conn := server.ConnectSetUp()
		p := startPublisher(t, conn)
		server.Stop()
		patient := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			patient <- p.Publish(ctx, newDelivery(t, "patient"))
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := p.Publish(ctx, newDelivery(t, "hasty")); err == nil {
			t.Error("confirmed by a broker that is away")
		}
		select {
		case err := <-patient:
			t.Errorf("another one, that has more time, was answered first: %v", err)
		default:
		}
		server.Start()
		if err := p.Publish(t.Context(), newDelivery(t, "next")); err != nil {
			t.Errorf("after the broker came back: %v", err)
		}
	})
}

func TestPublishToAFullStreamIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).Connect()
	if err := conn.Setup(t.Context(), broker.Topology{MaxBytes: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	p := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop(), Metrics: registry})
	running(t, p.Run)
	body := string(make([]byte, 10<<10))
	stored := 0
	for ; stored < 20; stored++ {
		if err := p.Publish(t.Context(), newDelivery(t, body)); err != nil {
			break
		}
	}
	for result, want := range map[string]float64{"confirmed": float64(stored), "refused": 1, "not_stored": 0, "unknown": 0} {
		if n := counted(t, registry, "coinhook_publish_attempts_total", result); n != want {
			t.Errorf("%v attempts were %s, want %v", n, result, want)
		}
	}
	if stored == 0 || stored == 20 {
		t.Fatalf("%d deliveries of 10 KiB fit into 64 KiB", stored)
	}
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	backlog, err := stream.Pending(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if backlog.First != 1 || backlog.Last != uint64(stored) {
		t.Errorf("the stream holds %+v after %d confirmations: something was dropped", backlog.Extent, stored)
	}
}

func TestConsumerSurvivesARestartOfTheBroker(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	p := startPublisher(t, conn)
	r := newRecorder()
	running(t, brokertest.NewConsumer(conn, r.handle).Run)
	for n := range 3 {
		if err := p.Publish(t.Context(), newDelivery(t, fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
		r.await(t, "it came", func() bool { return slices.Contains(r.bodies(), fmt.Sprint(n)) })
		server.Stop()
		server.Start()
		if err := conn.WaitConnected(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatCannotBeReadBecomesAMalformedDelivery(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	for _, data := range []string{"\xff no protobuf", ""} {
		if _, err := nc.Request("coinhook.deliveries", []byte(data), 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	r := newRecorder()
	running(t, brokertest.NewConsumer(conn, r.handle).Run)
	r.await(t, "both have come", func() bool { return len(r.bodies()) == 2 })
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range r.batches {
		for _, d := range batch {
			again, err := stream.Deliveries(t.Context(), d.Position.Sequence)
			if err != nil {
				t.Fatal(err)
			}
			if d.Malformed == "" || again[0].ID != d.ID || d.ID[6]>>4 != 7 {
				t.Errorf("delivery %+v, read again as %+v", d, again[0])
			}
		}
	}
}

func TestSetupIsSafeToRepeat(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	p := startPublisher(t, conn)
	if err := p.Publish(t.Context(), newDelivery(t, "kept")); err != nil {
		t.Fatal(err)
	}
	if err := conn.Setup(t.Context(), broker.Topology{MaxBytes: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Deliveries(t.Context(), 1); err != nil || len(got) != 1 {
		t.Errorf("after a second setup the stream has %v, %v", got, err)
	}
}

func TestNotSetUpSaysWhatToDo(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).Connect()
	if err := conn.Ready(t.Context()); err == nil || !contains(err, "coinhook setup") {
		t.Errorf("error %v", err)
	}
	p := startPublisher(t, conn)
	waitUntil(t, "a sender is told, too", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := p.Publish(ctx, newDelivery(t, "x"))
		return err != nil && contains(err, "coinhook setup")
	})
}
