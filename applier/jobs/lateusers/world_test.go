package lateusers_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/jobs/lateusers"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const community = "default"

// world is a broker and a database, and what an applier does with them but for
// the job: settling begins when a test says so.
type world struct {
	url     string
	conn    *broker.Conn
	catalog *broker.Catalog
	store   *postgres.Store
	db      *sql.DB

	ahead atomic.Int64 // of the clock, in nanoseconds: what jobs take for now

	mu   sync.Mutex
	came []delivery.Delivery // that were published
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{url: postgrestest.URL(t), conn: brokertest.Start(t).ConnectSetUp()}
	w.store = openStore(t, w.url, postgres.Options{Name: "settles", Settling: true})
	db, err := sql.Open("postgres", w.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) // the database is dropped next
	w.db = db
	w.catalog = broker.NewCatalog(w.conn)
	running(t, w.catalog.Run)
	return w
}

func openStore(t *testing.T, url string, opts postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) // the database is dropped next
	return s
}

// running runs f until the test ends, or stop is called.
func running(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("running: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(60 * time.Second); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// hook saves a webhook that adds coins; rest is the end of its definition.
func (w *world) hook(t *testing.T, name, rest string) broker.Saved {
	t.Helper()
	def, err := webhook.Parse(fmt.Appendf(nil, `name: %s
user: {by: email, path: user}
mappings: [{currency: coins, operator: add, value: {path: amount}}]
%s`, name, rest))
	if err != nil {
		t.Fatal(err)
	}
	saved, err := broker.NewDefinitions(w.conn).Create(t.Context(), webhook.Record{ID: webhook.NewID(), Definition: def}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.awaitKnown(t, saved)
	return saved
}

func (w *world) update(t *testing.T, hook broker.Saved) broker.Saved {
	t.Helper()
	saved, err := broker.NewDefinitions(w.conn).Update(t.Context(), hook, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.awaitKnown(t, saved)
	return saved
}

func (w *world) awaitKnown(t *testing.T, hook broker.Saved) {
	t.Helper()
	eventually(t, "the catalog knows "+hook.Name, func() bool {
		known, _ := w.catalog.Lookup(hook.ID)
		return known != nil && known.Revision == hook.Revision
	})
}

// letters settles deliveries that fail, for their user is not there. The coins
// are 1, 2, 4 and so on.
func (w *world) letters(t *testing.T, hook broker.Saved, user string, n int) (ids []delivery.ID) {
	t.Helper()
	compiled, _ := w.catalog.Lookup(hook.ID)
	batch := make([]applier.Item, n)
	for i := range batch {
		batch[i] = applier.Item{
			Webhook: compiled, Plan: applier.Plan{User: applier.UserRef{By: webhook.ByEmail, Value: user}},
			Delivery: &delivery.Delivery{
				ID: delivery.NewID(), WebhookID: hook.ID, ReceivedAt: time.Now(), Attempt: 1,
				Headers: []delivery.Header{{Name: "X-Event", Value: "paid"}},
				Body:    fmt.Appendf(nil, `{"user": %q, "amount": %d}`, user, 1<<(i%32)),
			},
		}
		ids = append(ids, batch[i].Delivery.ID)
	}
	settled, err := w.store.Settle(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settled {
		if s.Failure == nil || s.Failure.Reason != delivery.UserNotFound {
			t.Fatalf("settled as %+v", s)
		}
	}
	return ids
}

func (w *world) addUsers(t *testing.T, emails ...string) {
	t.Helper()
	users := make([]postgres.NewUser, len(emails))
	for i, email := range emails {
		users[i].Email = email
	}
	if _, err := w.store.ImportUsers(t.Context(), community, users); err != nil {
		t.Fatal(err)
	}
}

// settles has the world settle what is published, as an applier does.
func (w *world) settles(t *testing.T) {
	t.Helper()
	app := applier.New(w.catalog, w.store, func(hook *webhook.Webhook, d *delivery.Delivery, c *applier.Community) (applier.Plan, *delivery.Failure, error) {
		plan, failure := mapping.Evaluate(hook, mapping.InputOf(d, d.Body), c)
		return plan, failure, nil
	}, w.store, report.New(zerolog.Nop(), prometheus.NewRegistry()))
	handle := func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		w.mu.Lock()
		w.came = append(w.came, batch...)
		w.mu.Unlock()
		return app.Handle(ctx, batch)
	}
	running(t, brokertest.NewConsumer(w.conn, handle).Run)
}

// published returns what was handed out so far.
func (w *world) published() []delivery.Delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]delivery.Delivery{}, w.came...)
}

// job is one applier's.
type job struct {
	metrics *prometheus.Registry
	log     *lines
	stop    func()
}

// starts begins a job of its own connections. publish may stand between it and
// the broker.
func (w *world) starts(t *testing.T, name string, publish func(context.Context, delivery.Delivery, lateusers.Publisher) error) job {
	t.Helper()
	store := openStore(t, w.url, postgres.Options{Name: name, MaxConns: 2})
	publisher := broker.NewPublisher(w.conn, broker.PublisherOptions{Log: zerolog.Nop()})
	running(t, publisher.Run)
	j := job{metrics: prometheus.NewRegistry(), log: &lines{}}
	opts := lateusers.Options{
		KeyRetention: 24 * time.Hour,
		Store:        store, Definitions: w.catalog, Publisher: publisher, Now: w.now,
		Log: zerolog.New(j.log), Metrics: j.metrics,
	}
	if publish != nil {
		opts.Publisher = publishFunc(func(ctx context.Context, d delivery.Delivery) error { return publish(ctx, d, publisher) })
	}
	j.stop = running(t, lateusers.New(opts).Run)
	return j
}

type publishFunc func(context.Context, delivery.Delivery) error

func (f publishFunc) Publish(ctx context.Context, d delivery.Delivery) error { return f(ctx, d) }

// replayed is how many deliveries the job has published again.
func (j job) replayed(t *testing.T) int {
	t.Helper()
	families, err := j.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "coinhook_late_users_replayed_deliveries_total" {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	t.Fatal("the metric is gone")
	return 0
}

// sweeps is how many sweeps have ended.
func (j job) sweeps(t *testing.T) int {
	t.Helper()
	families, err := j.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "coinhook_late_users_sweep_seconds" {
			return int(f.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
	t.Fatal("the metric is gone")
	return 0
}

// awaitSweeps waits until two sweeps have ended: the second began after this.
func (j job) awaitSweeps(t *testing.T) {
	t.Helper()
	before := j.sweeps(t)
	eventually(t, "two more sweeps have ended", func() bool { return j.sweeps(t) >= before+2 })
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.b.Bytes(), []byte(text))
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// status says in a word what each delivery is.
func (w *world) status(t *testing.T, ids ...delivery.ID) (words []string) {
	t.Helper()
	for _, id := range ids {
		o, err := w.store.FindOutcome(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, string(o.Outcome)+string(o.Reason))
	}
	return words
}

func (w *world) awaitApplied(t *testing.T, ids ...delivery.ID) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d deliveries are applied", len(ids)), func() bool {
		for _, word := range w.status(t, ids...) {
			if word != "applied" {
				return false
			}
		}
		return true
	})
}

// runs says how a delivery ran each time.
func (w *world) runs(t *testing.T, id delivery.ID) (runs []string) {
	t.Helper()
	all, err := w.store.Executions(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		runs = append(runs, fmt.Sprintf("%s by %s: %s%s %t", e.Cause, e.RequestedBy, e.Outcome, e.Reason, e.Effect))
	}
	return runs
}

func (w *world) wantCoins(t *testing.T, email string, coins int64) {
	t.Helper()
	u, err := w.store.FindUser(t.Context(), community, email)
	if err != nil {
		t.Fatal(err)
	}
	if u.Balances["coins"] != coins {
		t.Errorf("%s has %d coins, want %d", email, u.Balances["coins"], coins)
	}
}
