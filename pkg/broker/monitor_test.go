package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
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

// A partition that stands still holds the lowest floor back, and others go on.
func TestOnlyThePartitionThatStandsStillIsOverdue(t *testing.T) {
	t.Parallel()
	conn := setUpPartitions(t, brokertest.Start(t), 2)
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var unlocked atomic.Bool
	r := newRecorder()
	running(t, brokertest.NewConsumer(conn, func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		verdicts := r.handle(ctx, batch)
		for i, d := range batch {
			if string(d.Body) == "stuck" && !unlocked.Load() {
				verdicts[i] = delivery.Retry(time.Millisecond, errors.New("away"))
			}
		}
		return verdicts
	}).Run)
	p := startPublisher(t, conn)
	var all []delivery.Delivery
	for i, body := range []string{"a", "stuck", "b", "c", "d"} {
		d := newDelivery(t, body)
		d.Slot = i%2 + 1
		all = append(all, d)
	}
	if err := p.PublishAll(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	// On a slow machine the floor of the other partition may be overdue, too, before it is
	// written.
	await(t, "the other partition is settled", func() bool {
		now, err := stream.Pending(t.Context())
		return err == nil && slices.ContainsFunc(now.Partitions, func(p broker.PartitionState) bool { return p.Floor == now.Last })
	})
	log := &logbook{}
	metric := startMonitor(t, conn, log)
	await(t, "two are overdue", func() bool { return metric(overdue) == 2 && len(log.with(tooLong)) > 1 })
	await(t, "all others would be, too", func() bool { return metric(oldest) > 3*pendingLimit.Seconds() })
	if n := metric(overdue); n != 2 {
		t.Errorf("%v deliveries are overdue, want those of one partition", n)
	}
	if diff := cmp.Diff(onceEach(all[1].ID.String(), all[3].ID.String()), log.warnings()); diff != "" {
		t.Error(diff)
	}
	unlocked.Store(true)
	await(t, "it is settled", func() bool { return metric(overdue) == 0 && metric(oldest) == 0 })
}

// setUpPartitions sets a server up with so many partitions.
func setUpPartitions(tb testing.TB, server interface{ Connect() *broker.Conn }, n int) *broker.Conn {
	tb.Helper()
	conn := server.Connect()
	if err := conn.Setup(tb.Context(), broker.Topology{Partitions: n}); err != nil {
		tb.Fatal(err)
	}
	return conn
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

func TestWarningsBeginAgainWithTheStream(t *testing.T) {
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
		Retried: &broker.TroubleRetried{Since: since, Attempts: 3, Why: "PostgreSQL is away", Deliveries: 5, First: 3, Last: 9, Slots: []int{1, 250}},
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
