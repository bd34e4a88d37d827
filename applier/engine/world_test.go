package engine_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/engine"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// world is a broker and a database, whose partitions tests hand to engines.
type world struct {
	url        string
	server     *brokertest.Server
	conn       *broker.Conn
	catalog    *broker.Catalog
	db         *sql.DB
	publisher  *broker.Publisher
	partitions []delivery.Partition
	// keyless are names of webhooks whose key cannot be opened.
	keyless sync.Map
	// wasParked has the deliveries that engines have parked.
	wasParked sync.Map
}

func newWorld(t *testing.T, partitions int) *world {
	t.Helper()
	return newSignedWorld(t, partitions, secret.DeliveryKeys{})
}

// newSignedWorld is one whose deliveries are signed and checked.
func newSignedWorld(t *testing.T, partitions int, keys secret.DeliveryKeys) *world {
	t.Helper()
	server := brokertest.Start(t)
	w := &world{url: postgrestest.URL(t), server: server, conn: server.ConnectWith(keys)}
	table, err := postgres.Open(w.url, postgres.Options{Name: "setup"})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close() // nothing is in flight
	if err := w.conn.Setup(t.Context(), broker.Topology{Partitions: partitions, Table: table}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("postgres", w.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) // the database is dropped next
	w.db = db
	w.catalog = broker.NewCatalog(w.conn)
	running(t, w.catalog.Run)
	w.publisher = publisherOf(t, w.conn)
	for i := range partitions {
		w.partitions = append(w.partitions, delivery.Partition{Generation: 1, Index: i, Count: partitions})
	}
	return w
}

func publisherOf(t *testing.T, conn *broker.Conn) *broker.Publisher {
	t.Helper()
	p := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop()})
	running(t, p.Run)
	return p
}

func (w *world) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := w.db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func (w *world) number(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	if err := w.db.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// lease makes a new owner of a partition.
func (w *world) lease(t *testing.T, p delivery.Partition) applier.Lease {
	t.Helper()
	return applier.Lease{Partition: p, Token: int64(w.number(t,
		`UPDATE partitions SET token = token + 1 WHERE generation = $1 AND partition = $2 RETURNING token`, p.Generation, p.Index))}
}

// evaluate is the applier's, except that some keys cannot be opened.
func (w *world) evaluate(hook *webhook.Webhook, d *delivery.Delivery, c *applier.Community) (applier.Plan, *delivery.Failure, error) {
	if _, keyless := w.keyless.Load(hook.Name); keyless {
		return applier.Plan{}, nil, errors.New("the key cannot be opened")
	}
	plan, failure := mapping.Evaluate(hook, mapping.InputOf(d, d.Body), c)
	return plan, failure, nil
}

// engine is one applier's.
type owner struct {
	*engine.Engine
	stop func()
}

// start runs an engine that owns nothing yet.
func (w *world) start(t *testing.T, lanes int) owner {
	t.Helper()
	return w.startWith(t, lanes, func(store *postgres.Store) applier.ParkingStore { return store })
}

// startWith runs an engine with a store of its own.
func (w *world) startWith(t *testing.T, lanes int, wrap func(*postgres.Store) applier.ParkingStore) owner {
	t.Helper()
	return w.startStore(t, lanes, postgres.Options{Name: "engine", Settling: true, MaxConns: lanes + 2}, wrap)
}

func (w *world) startStore(t *testing.T, lanes int, opts postgres.Options, wrap func(*postgres.Store) applier.ParkingStore) owner {
	t.Helper()
	store, err := postgres.Open(w.url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() }) // the database is dropped next
	settling, reporter := wrap(store), recorder{report.New(zerolog.Nop(), prometheus.NewRegistry()), w}
	e := engine.New(engine.Options{
		Conn: w.conn, Applier: applier.New(w.catalog, store, w.evaluate, settling, reporter), Definitions: w.catalog, Store: settling,
		Report: reporter, Lanes: lanes, Log: zerolog.Nop(), Metrics: prometheus.NewRegistry(),
	})
	return owner{e, running(t, e.Run)}
}

// recorder remembers what is parked.
type recorder struct {
	applier.Reporter
	world *world
}

func (r recorder) Parked(d *delivery.Delivery, reason applier.ParkReason, err error) {
	r.world.wasParked.Store(d.ID, true)
	r.Reporter.Parked(d, reason, err)
}

// startOwner runs an engine that owns all partitions.
func (w *world) startOwner(t *testing.T, lanes int) owner {
	t.Helper()
	e := w.start(t, lanes)
	for _, p := range w.partitions {
		e.Take(w.lease(t, p), 0)
	}
	return e
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

// hook is a webhook with its definition.
type hook struct {
	broker.Saved
	world *world
}

// hook saves an active webhook that adds or subtracts coins of a user.
func (w *world) hook(t *testing.T, community, name, operator string) *hook {
	t.Helper()
	def, err := webhook.Parse(fmt.Appendf(nil, `name: %s
community: %s
state: active
user: {by: email, path: user}
mappings: [{currency: coins, operator: %s, value: {path: amount}}]
`, name, community, operator))
	if err != nil {
		t.Fatal(err)
	}
	saved, err := broker.NewDefinitions(w.conn).Create(t.Context(), webhook.Record{ID: webhook.NewID(), Definition: def}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := &hook{saved, w}
	h.awaitKnown(t)
	return h
}

func (h *hook) set(t *testing.T, state webhook.State) {
	t.Helper()
	h.State = state
	saved, err := broker.NewDefinitions(h.world.conn).Update(t.Context(), h.Saved, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h.Saved = saved
	h.awaitKnown(t)
}

func (h *hook) awaitKnown(t *testing.T) {
	t.Helper()
	eventually(t, "the catalog knows "+h.Name, func() bool {
		known, _ := h.world.catalog.Lookup(h.ID)
		return known != nil && known.Revision == h.Revision
	})
}

// send publishes deliveries for users, one message each.
func (h *hook) send(t *testing.T, amount int, users ...string) (ids []delivery.ID) {
	t.Helper()
	for _, user := range users {
		d := h.delivery(amount, user)
		if err := h.world.publisher.Publish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	return ids
}

func (h *hook) delivery(amount int, user string) delivery.Delivery {
	return delivery.Delivery{
		ID: delivery.NewID(), WebhookID: h.ID, Revision: h.Revision, ReceivedAt: time.Now(), Slot: delivery.SlotOf(h.Community),
		Body: fmt.Appendf(nil, `{"user": %q, "amount": %d}`, user, amount),
	}
}

// addUsers adds users to a community.
func (w *world) addUsers(t *testing.T, community string, n int) (emails []string) {
	t.Helper()
	store, err := postgres.Open(w.url, postgres.Options{Name: "users"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() // nothing is in flight
	users := make([]postgres.NewUser, n)
	for i := range users {
		users[i].Email = fmt.Sprintf("u%d@%s.example", i, community)
		emails = append(emails, users[i].Email)
	}
	if _, err := store.ImportUsers(t.Context(), community, users); err != nil {
		t.Fatal(err)
	}
	return emails
}

func (w *world) addUser(t *testing.T, community, email string) {
	t.Helper()
	store, err := postgres.Open(w.url, postgres.Options{Name: "users"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() // nothing is in flight
	if _, err := store.ImportUsers(t.Context(), community, []postgres.NewUser{{Email: email}}); err != nil {
		t.Fatal(err)
	}
}

// settled is how many deliveries have an outcome, failed how many of them failed, and
// parked how many have a row of their own.
func (w *world) settled(t *testing.T) int { return w.number(t, `SELECT count(*) FROM outcomes`) }

func (w *world) failed(t *testing.T) int {
	return w.number(t, `SELECT count(*) FROM outcomes WHERE status = 'failed'`)
}
func (w *world) parked(t *testing.T) int { return w.number(t, `SELECT count(*) FROM parked`) }

func (w *world) awaitSettled(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " deliveries are settled"), func() bool { return w.settled(t) == n })
}

func (w *world) awaitParked(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " deliveries are parked"), func() bool { return w.parked(t) == n })
}

// awaitAcked waits until the broker knows that all is settled or parked.
func (w *world) awaitAcked(t *testing.T) {
	t.Helper()
	stream, err := w.conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, last, err := stream.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is acked", func() bool {
		all, err := w.conn.Partitions(t.Context())
		for _, p := range all {
			if p.Floor < last {
				return false
			}
		}
		return err == nil
	})
}
