package lateusers_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/lateusers"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const community = "default"

// world is a broker and a database, and what an applier does with them but for
// the job: settling begins when a test says so.
type world struct {
	*appliertest.World
	catalog *broker.Catalog

	ahead atomic.Int64 // of the clock, in nanoseconds: what jobs take for now

	mu   sync.Mutex
	came []delivery.Delivery // that were published
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: appliertest.New(t, appliertest.Options{Store: postgres.Options{Name: "settles", Settling: true}})}
	w.catalog = w.Catalog()
	return w
}

// hook saves a webhook that adds coins; rest is the end of its definition.
func (w *world) hook(t *testing.T, name, rest string) broker.Saved {
	t.Helper()
	saved := w.Save(fmt.Sprintf(`name: %s
user: {by: email, path: user}
mappings: [{currency: coins, operator: add, value: {path: amount}}]
%s`, name, rest))
	appliertest.AwaitKnown(t, w.catalog, saved)
	return saved
}

func (w *world) update(t *testing.T, hook broker.Saved) broker.Saved {
	t.Helper()
	saved := w.Update(hook)
	appliertest.AwaitKnown(t, w.catalog, saved)
	return saved
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
	settled, err := w.Store.Settle(t.Context(), batch)
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

// settles has the world settle what is published, as an applier does.
func (w *world) settles(t *testing.T) {
	t.Helper()
	app := w.Applier(w.catalog)
	handle := func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		w.mu.Lock()
		w.came = append(w.came, batch...)
		w.mu.Unlock()
		return app.Handle(ctx, batch)
	}
	w.Consume(handle)
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
	log     *appliertest.Log
	stop    func()
}

// starts begins a job of its own connections. publish may stand between it and
// the broker.
func (w *world) starts(t *testing.T, name string, publish func(context.Context, delivery.Delivery, lateusers.Publisher) error) job {
	t.Helper()
	store, _ := postgrestest.OpenURL(t, w.URL, postgres.Options{Name: name, MaxConns: 2})
	publisher := appliertest.Publisher(t, w.Conn)
	j := job{metrics: prometheus.NewRegistry(), log: &appliertest.Log{}}
	opts := lateusers.Options{
		KeyRetention: 24 * time.Hour,
		Store:        store, Definitions: w.catalog, Publisher: publisher, Now: w.now,
		Log: zerolog.New(j.log), Metrics: j.metrics,
	}
	if publish != nil {
		opts.Publisher = publishFunc(func(ctx context.Context, d delivery.Delivery) error { return publish(ctx, d, publisher) })
	}
	j.stop = appliertest.Running(t, lateusers.New(opts).Run)
	return j
}

type publishFunc func(context.Context, delivery.Delivery) error

func (f publishFunc) Publish(ctx context.Context, d delivery.Delivery) error { return f(ctx, d) }

// replayed is how many deliveries the job has published again.
func (j job) replayed(t *testing.T) int {
	t.Helper()
	return int(appliertest.Metric(t, j.metrics, "coinhook_late_users_replayed_deliveries_total"))
}

// sweeps is how many sweeps have ended.
func (j job) sweeps(t *testing.T) int {
	t.Helper()
	return int(appliertest.Metric(t, j.metrics, "coinhook_late_users_sweep_seconds"))
}

// awaitSweeps waits until two sweeps have ended: the second began after this.
func (j job) awaitSweeps(t *testing.T) {
	t.Helper()
	before := j.sweeps(t)
	appliertest.Eventually(t, "two more sweeps have ended", func() bool { return j.sweeps(t) >= before+2 })
}

// status says in a word what each delivery is.
func (w *world) status(t *testing.T, ids ...delivery.ID) (words []string) {
	t.Helper()
	for _, id := range ids {
		o, err := w.Store.FindOutcome(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if o.Reason != nil {
			words = append(words, string(*o.Reason))
		} else {
			words = append(words, string(*o.Outcome))
		}
	}
	return words
}

func (w *world) awaitApplied(t *testing.T, ids ...delivery.ID) {
	t.Helper()
	appliertest.Eventually(t, fmt.Sprintf("%d deliveries are applied", len(ids)), func() bool {
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
	all, err := w.Store.Executions(t.Context(), id)
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
	u, err := w.Store.FindUser(t.Context(), community, email)
	if err != nil {
		t.Fatal(err)
	}
	if u.Balances["coins"] != coins {
		t.Errorf("%s has %d coins, want %d", email, u.Balances["coins"], coins)
	}
}
