package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// logbook is what several monitors log.
type logbook struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (l *logbook) Write(line []byte) (int, error) {
	var fields map[string]any
	if err := json.Unmarshal(bytes.TrimSpace(line), &fields); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fields)
	return len(line), nil
}

// with returns the lines that say something.
func (l *logbook) with(message string) (found []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line["message"] == message {
			found = append(found, line)
		}
	}
	return found
}

const tooLong = "delivery is pending for too long"

// warnings counts the warnings by delivery.
func (l *logbook) warnings() map[string]int {
	count := map[string]int{}
	for _, line := range l.with(tooLong) {
		count[fmt.Sprint(line["delivery_id"])]++
	}
	return count
}

const pendingLimit = 300 * time.Millisecond

// startMonitor returns what the monitor shows.
func startMonitor(tb testing.TB, conn *broker.Conn, log *logbook) func(metric string) float64 {
	tb.Helper()
	registry := prometheus.NewRegistry()
	running(tb, broker.NewMonitor(conn, broker.MonitorOptions{Limit: pendingLimit, Log: zerolog.New(log), Metrics: registry}).Run)
	return func(metric string) float64 { return value(tb, registry, metric) }
}

func value(tb testing.TB, registry *prometheus.Registry, metric string) float64 {
	tb.Helper()
	families, err := registry.Gather()
	if err != nil {
		tb.Error(err)
	}
	for _, f := range families {
		if f.GetName() == metric {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	tb.Errorf("there is no metric %s", metric)
	return -1
}

const (
	overdue = "coinhook_pending_overdue_deliveries"
	oldest  = "coinhook_pending_oldest_seconds"
)

// await waits until the condition holds.
func await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

// publish sends bodies, each in a message of its own, and returns the ids.
func publish(tb testing.TB, p *broker.Publisher, bodies ...string) (ids []string) {
	tb.Helper()
	for _, body := range bodies {
		d := newDelivery(tb, body)
		if err := p.Publish(tb.Context(), d); err != nil {
			tb.Fatal(err)
		}
		ids = append(ids, d.ID.String())
	}
	return ids
}

func onceEach(ids ...string) map[string]int {
	want := map[string]int{}
	for _, id := range ids {
		want[id] = 1
	}
	return want
}

func TestWhatIsPendingForTooLongIsSeenWithoutAnyApplier(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	log := &logbook{}
	metric := startMonitor(t, conn, log)
	if metric(oldest) != 0 || metric(overdue) != 0 {
		t.Errorf("oldest %v s, %v overdue, when nothing is pending", metric(oldest), metric(overdue))
	}
	ids := publish(t, startPublisher(t, conn), "a", "b", "c")
	await(t, "all three are overdue", func() bool { return metric(overdue) == 3 && len(log.with(tooLong)) == 3 })
	if age := metric(oldest); age < pendingLimit.Seconds() {
		t.Errorf("the oldest is %v s old", age)
	}
	if diff := cmp.Diff(onceEach(ids...), log.warnings()); diff != "" {
		t.Error(diff)
	}
	line := log.with(tooLong)[0]
	for field, want := range map[string]any{
		"level": "warn", "webhook_id": "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", "stream_sequence": 1.0,
		"state": "queued", "why": "no applier is asking for deliveries",
	} {
		if line[field] != want {
			t.Errorf("the warning's %s is %v, want %v", field, line[field], want)
		}
	}

	r := newRecorder()
	running(t, brokertest.NewConsumer(conn, r.handle).Run)
	await(t, "nothing is pending any more", func() bool { return metric(overdue) == 0 && metric(oldest) == 0 })
	if n := len(log.with(tooLong)); n != 3 {
		t.Errorf("%d warnings, want 3", n)
	}
}

// What is set aside keeps the ack floor back, and those behind it are settled.
func TestOnlyWhatIsSetAsideIsOverdue(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	var unlocked atomic.Bool
	r := newRecorder()
	handle := func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		verdicts := r.handle(ctx, batch)
		for i, d := range batch {
			if string(d.Body) == "locked" && !unlocked.Load() {
				verdicts[i] = delivery.Parked(errors.New("no key"))
			}
		}
		return verdicts
	}
	running(t, brokertest.NewConsumer(conn, handle).Run)
	log := &logbook{}
	metric := startMonitor(t, conn, log)
	ids := publish(t, startPublisher(t, conn), "a", "locked", "b", "c")
	await(t, "one is overdue", func() bool { return metric(overdue) == 1 && len(log.with(tooLong)) > 0 })
	await(t, "all others would be, too", func() bool { return metric(oldest) > 3*pendingLimit.Seconds() })
	if n := metric(overdue); n != 1 {
		t.Errorf("%v deliveries are overdue, want the one that is set aside", n)
	}
	if diff := cmp.Diff(onceEach(ids[1]), log.warnings()); diff != "" {
		t.Error(diff)
	}
	unlocked.Store(true)
	await(t, "it is settled", func() bool { return metric(overdue) == 0 && metric(oldest) == 0 })
}

func TestMonitorsWarnOnceTogether(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	log := &logbook{}
	p := startPublisher(t, conn)
	ids := publish(t, p, "before they start")
	var metrics []func(string) float64
	for range 4 {
		metrics = append(metrics, startMonitor(t, server.Connect(), log))
	}
	for n := range 30 {
		ids = append(ids, publish(t, p, fmt.Sprint(n))...)
	}
	for _, metric := range metrics {
		await(t, "each counts all", func() bool { return metric(overdue) == float64(len(ids)) })
	}
	await(t, "all were warned of", func() bool { return len(log.with(tooLong)) >= len(ids) })
	// One that comes later finds that it was done.
	late := startMonitor(t, server.Connect(), log)
	await(t, "the late one counts all", func() bool { return late(overdue) == float64(len(ids)) })
	more := publish(t, p, "the last one")
	await(t, "it is warned of", func() bool { return len(log.with(tooLong)) > len(ids) })
	if diff := cmp.Diff(onceEach(append(ids, more...)...), log.warnings()); diff != "" {
		t.Error(diff)
	}
}

func TestWarningsBeginAnewWithTheStream(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	log := &logbook{}
	metric := startMonitor(t, conn, log)
	p := startPublisher(t, conn)
	before := publish(t, p, "a", "b", "c")
	await(t, "three were warned of", func() bool { return len(log.with(tooLong)) == 3 })
	if err := js(t, server).DeleteStream(t.Context(), "DELIVERIES"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	after := publish(t, p, "d")
	await(t, "the one in the new stream is warned of", func() bool { return metric(overdue) == 1 && len(log.with(tooLong)) == 4 })
	if diff := cmp.Diff(onceEach(append(before, after...)...), log.warnings()); diff != "" {
		t.Error(diff)
	}
}

func js(tb testing.TB, server *brokertest.Server) jetstream.JetStream {
	tb.Helper()
	nc, err := nats.Connect(server.URL())
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

func TestALargeOutageIsOneLine(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	p := startPublisher(t, conn)
	const deliveries = 1200 // more than are named one by one
	var wg sync.WaitGroup
	for range deliveries {
		wg.Go(func() {
			if err := p.Publish(t.Context(), newDelivery(t, "{}")); err != nil {
				t.Error(err)
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
	last, _, err := stream.Message(t.Context(), backlog.Last)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "all are overdue", func() bool { return time.Since(last.StoredAt) > pendingLimit })
	log := &logbook{}
	metric := startMonitor(t, conn, log)
	const many = "deliveries are pending for too long"
	await(t, "they are counted and warned of", func() bool { return metric(overdue) == deliveries && len(log.with(many)) > 0 })
	line := log.with(many)[0]
	first, _, err := stream.Message(t.Context(), backlog.First)
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"deliveries":        float64(deliveries),
		"first_delivery_id": first.Deliveries[0].ID.String(),
		"last_delivery_id":  last.Deliveries[len(last.Deliveries)-1].ID.String(),
	} {
		if line[field] != want {
			t.Errorf("the line's %s is %v, want %v", field, line[field], want)
		}
	}
	if n := len(log.with(tooLong)); n != 0 {
		t.Errorf("%d lines of single deliveries, want none", n)
	}
}

func TestALookCountsOnlySoManyMessages(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	ids := publish(t, startPublisher(t, conn), "a", "b", "c", "d", "e", "f", "g")
	log, registry := &logbook{}, prometheus.NewRegistry()
	m := broker.NewMonitor(conn, broker.MonitorOptions{Limit: time.Nanosecond, Log: zerolog.New(log), Metrics: registry})
	for n, want := range []int{3, 6, 7, 7} {
		if err := m.LookOnce(t.Context(), 3); err != nil {
			t.Fatal(err)
		}
		if got := value(t, registry, overdue); got != float64(want) {
			t.Errorf("after look %d %v are overdue, want %d", n+1, got, want)
		}
		if diff := cmp.Diff(onceEach(ids[:want]...), log.warnings()); diff != "" {
			t.Errorf("after look %d: %s", n+1, diff)
		}
	}
}

// A replay waits, and is said to, but the delivery has an outcome.
func TestAReplayIsNotPending(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	p := startPublisher(t, conn)
	log := &logbook{}
	metric := startMonitor(t, conn, log)
	replayed := newDelivery(t, "again")
	replayed.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual}
	if err := p.Publish(t.Context(), replayed); err != nil {
		t.Fatal(err)
	}
	const waiting = "replay is waiting for too long"
	await(t, "it was warned of", func() bool { return len(log.with(waiting)) == 1 })
	if metric(oldest) < pendingLimit.Seconds() || metric(overdue) != 0 {
		t.Errorf("oldest %v s, %v overdue; want the age of the replay and none", metric(oldest), metric(overdue))
	}
	if line := log.with(waiting)[0]; line["delivery_id"] != replayed.ID.String() || line["replay_id"] != replayed.Replay.ID.String() {
		t.Errorf("the warning is %v", line)
	}
}

// Those of older versions and of others do not say what they carry.
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
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Minute)
	for messages, want := range map[int]int{100: 4, 4: 4, 2: 2} {
		got, more, err := stream.CountUntil(t.Context(), 1, 4, soon, messages)
		if err != nil || got != (broker.Count{Deliveries: want}) || more != (messages < 4) {
			t.Errorf("of %d messages %+v are counted, more: %v, %v; want %d", messages, got, more, err, want)
		}
	}
}

func TestAnAppliersTroublesAreRead(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	troubles := func() []broker.Trouble {
		t.Helper()
		p, err := stream.PendingWithTroubles(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p.Troubles
	}
	since := time.Now().UTC().Truncate(time.Second)
	want := broker.Trouble{
		Retried: &broker.TroubleRetried{Since: since, Attempts: 3, Why: "PostgreSQL is away", Deliveries: 5, Messages: broker.NewSpans(3, 4, 9)},
		Held:    broker.NewSpans(3, 4, 9, 10),
		Aside:   []broker.TroubleAside{{ID: delivery.NewID(), Sequence: 2, Since: since, Attempts: 1, Why: "no key"}}, AsideDeliveries: 1,
	}
	notice, other := conn.Notice("host.example-17"), conn.Notice("another")
	for _, n := range []*broker.Notice{notice, other} {
		if err := n.Put(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	got := troubles()
	want.Applier = "host.example-17"
	if len(got) != 2 || got[0].Applier != "another" {
		t.Fatalf("troubles %+v", got)
	}
	if diff := cmp.Diff(want, got[1]); diff != "" {
		t.Error(diff)
	}
	if err := notice.Tidy(t.Context()); err != nil {
		t.Error(err)
	}
	if err := notice.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := troubles(); len(got) != 1 || got[0].Applier != "another" {
		t.Errorf("after one has withdrawn: %+v", got)
	}
}
