package engine_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/engine"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// world is a broker and a database, whose partitions tests hand to engines.
type world struct {
	*appliertest.World
	catalog    *broker.Catalog
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
	w := &world{World: appliertest.New(t, appliertest.Options{Partitions: partitions, Keys: keys})}
	w.catalog = w.Catalog()
	w.publisher = appliertest.Publisher(t, w.Conn)
	for i := range partitions {
		w.partitions = append(w.partitions, delivery.Partition{Generation: 1, Index: i, Count: partitions})
	}
	return w
}

// lease makes a new owner of a partition.
func (w *world) lease(t *testing.T, p delivery.Partition) applier.Lease {
	t.Helper()
	return applier.Lease{Partition: p, Token: int64(w.Number(`UPDATE partitions SET token = token + 1 WHERE generation = $1 AND partition = $2 RETURNING token`, p.Generation, p.Index))}
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
	store, _ := postgrestest.OpenURL(t, w.URL, opts)
	settling, reporter := wrap(store), recorder{report.New(zerolog.Nop(), prometheus.NewRegistry()), w}
	e := engine.New(engine.Options{
		Conn: w.Conn, Applier: applier.New(w.catalog, store, w.evaluate, settling, reporter), Definitions: w.catalog, Store: settling,
		Report: reporter, Lanes: lanes, Log: zerolog.Nop(), Metrics: prometheus.NewRegistry(),
	})
	return owner{e, appliertest.Running(t, e.Run)}
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

// hook is a webhook with its definition.
type hook struct {
	broker.Saved
	world *world
}

// hook saves an active webhook that adds or subtracts coins of a user.
func (w *world) hook(t *testing.T, community, name, operator string) *hook {
	t.Helper()
	return w.saved(t, fmt.Sprintf(`name: %s
community: %s
state: active
user: {by: email, path: user}
mappings: [{currency: coins, operator: %s, value: {path: amount}}]
`, name, community, operator))
}

// saved saves a webhook, and waits until the engines know it.
func (w *world) saved(t *testing.T, definition string) *hook {
	t.Helper()
	h := &hook{w.Save(definition), w}
	appliertest.AwaitKnown(t, w.catalog, h.Saved)
	return h
}

func (h *hook) set(t *testing.T, state webhook.State) {
	t.Helper()
	h.State = state
	h.Saved = h.world.Update(h.Saved)
	appliertest.AwaitKnown(t, h.world.catalog, h.Saved)
}

// send publishes deliveries for users, one message each.
func (h *hook) send(t *testing.T, amount int, users ...string) (ids []delivery.ID) {
	t.Helper()
	for _, user := range users {
		d := h.delivery(amount, user)
		appliertest.Publish(t, h.world.publisher, d)
		ids = append(ids, d.ID)
	}
	return ids
}

// sendMany publishes deliveries for each user in turn, many in a message.
func (h *hook) sendMany(t *testing.T, rounds int, users []string) (ids []delivery.ID) {
	t.Helper()
	var all []delivery.Delivery
	for range rounds {
		for _, user := range users {
			d := h.delivery(1, user)
			all, ids = append(all, d), append(ids, d.ID)
		}
	}
	if err := h.world.publisher.PublishAll(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	return ids
}

func (h *hook) delivery(amount int, user string) delivery.Delivery {
	return appliertest.Delivery(h.Saved, fmt.Appendf(nil, `{"user": %q, "amount": %d}`, user, amount))
}

// addUsers adds users to a community.
func (w *world) addUsers(community string, n int) (emails []string) {
	for i := range n {
		emails = append(emails, fmt.Sprintf("u%d@%s.example", i, community))
	}
	w.AddUsers(community, emails...)
	return emails
}

// settled is how many deliveries have an outcome, failed how many of them failed, and
// parked how many have a row of their own.
func (w *world) settled(t *testing.T) int { return w.Number(`SELECT count(*) FROM outcomes`) }

func (w *world) failed(t *testing.T) int {
	return w.Number(`SELECT count(*) FROM outcomes WHERE status = 'failed'`)
}
func (w *world) parked(t *testing.T) int { return w.Number(`SELECT count(*) FROM parked`) }

func (w *world) awaitSettled(t *testing.T, n int) {
	t.Helper()
	appliertest.Eventually(t, fmt.Sprint(n, " deliveries are settled"), func() bool { return w.settled(t) == n })
}

func (w *world) awaitParked(t *testing.T, n int) {
	t.Helper()
	appliertest.Eventually(t, fmt.Sprint(n, " deliveries are parked"), func() bool { return w.parked(t) == n })
}

// awaitAcked waits until the broker knows that all is settled or parked.
func (w *world) awaitAcked(t *testing.T) {
	t.Helper()
	stream, err := w.Conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	extent, err := stream.Extent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	appliertest.Eventually(t, "all is acked", func() bool {
		all, err := w.Conn.Partitions(t.Context())
		for _, p := range all {
			if p.Floor < extent.Last {
				return false
			}
		}
		return err == nil
	})
}
