package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/engine"
	ownerpkg "github.com/coinhook/coinhook/applier/engine/owner"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/broker"
)

// member is an applier that shares the partitions with others.
type member struct {
	name   string
	killed atomic.Bool
	engine *engine.Engine
	stop   func()
}

// mortal is a store that a process has until it is killed.
type mortal struct {
	*postgres.Store
	killed *atomic.Bool
}

func (s mortal) Leases(ctx context.Context, r postgres.LeaseRound) (postgres.LeaseView, error) {
	if s.killed.Load() {
		return postgres.LeaseView{}, errors.New("killed")
	}
	return s.Store.Leases(ctx, r)
}

// table is the store that setup and owners use.
func (w *world) table(t *testing.T) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(w.URL, postgres.Options{Name: "leases"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() }) // the database is dropped next
	return store
}

func (w *world) setPartitions(t *testing.T, store *postgres.Store, n int) {
	t.Helper()
	if err := w.Conn.Setup(t.Context(), broker.Topology{Partitions: n, Table: store}); err != nil {
		t.Fatal(err)
	}
}

// join starts an applier.
func (w *world) join(t *testing.T, name string) *member {
	t.Helper()
	e := w.start(t, 2)
	m := &member{name: name, engine: e.Engine}
	o := ownerpkg.New(ownerpkg.Options{
		Store: mortal{w.table(t), &m.killed}, Engine: e.Engine, Broker: w.Conn, Name: name, Report: report.New(zerolog.Nop(), prometheus.NewRegistry()),
		Log: zerolog.New(zerolog.NewTestWriter(t)).With().Str("applier", name).Logger(), Metrics: prometheus.NewRegistry(),
	})
	stopOwner := appliertest.Running(t, o.Run)
	m.stop = func() {
		stopOwner()
		e.stop()
	}
	t.Cleanup(m.stop)
	return m
}

// kill ends an applier that releases nothing.
func (m *member) kill() {
	m.killed.Store(true)
	m.stop()
}

// Appliers come and go, one is killed, and the number of partitions changes, while
// users get and spend. Each delivery is decided once, and in order.
func TestPartitionsAreSharedAndRenumberedWhileDeliveriesFlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	store := w.table(t)
	w.setPartitions(t, store, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := make(chan int, 1)
	var earned, spent []*hook
	var users [][]string
	for _, community := range []string{"red", "blue", "green", "white"} {
		earned = append(earned, w.hook(t, community, "Earn", "add"))
		spent = append(spent, w.hook(t, community, "Spend", "subtract"))
		users = append(users, w.addUsers(community, 15))
	}
	go func() {
		n := 0
		defer func() { sent <- n }()
		for i := 0; ctx.Err() == nil; i++ {
			c := i % len(users)
			user := users[c][i/len(users)%len(users[c])]
			earned[c].send(t, 1, user)
			spent[c].send(t, 1, user)
			n += 2
		}
	}()
	flows := func(what string) {
		t.Helper()
		before := w.settled(t)
		appliertest.Eventually(t, "deliveries are settled after "+what, func() bool { return w.settled(t) > before+50 })
	}
	a := w.join(t, "a")
	flows("the first has joined")
	b := w.join(t, "b")
	flows("the second has joined")
	w.setPartitions(t, store, 5)
	flows("five partitions")
	c := w.join(t, "c")
	flows("the third has joined")
	a.kill()
	w.setPartitions(t, store, 2) // while partitions are with the dead
	w.setPartitions(t, store, 4)
	appliertest.Eventually(t, "all partitions of the newest generation are owned", func() bool {
		return w.Number(`SELECT count(*) FROM partitions WHERE partitions = 4 AND owner IN ('b', 'c')`) == 4
	})
	flows("four partitions")
	b.stop()
	flows("the second has left")
	cancel()
	want := <-sent
	w.awaitSettled(t, want)
	if n := w.failed(t); n > 0 {
		t.Errorf("%d of %d failed, want none: the balance was there\n%s", n, want, w.around(t))
	}
	if n := w.Number(`SELECT count(*) FROM (SELECT FROM gamification_logs GROUP BY delivery_id HAVING count(*) > 1) AS twice`); n > 0 {
		t.Errorf("%d deliveries took effect twice", n)
	}
	appliertest.Eventually(t, "only the newest generation is left", func() bool {
		return w.Number(`SELECT count(*) FROM partitions WHERE finished_at IS NULL`) == 4
	})
	c.stop()
}

// around says what was decided of users whose deliveries failed, in the order of the
// stream, and where generations end.
func (w *world) around(t *testing.T) (all string) {
	t.Helper()
	for _, query := range []string{
		`SELECT concat_ws(' ', generation, partition, token, begins_after, ends_at, finished_at) FROM partitions ORDER BY generation, partition`,
		`SELECT concat_ws(' ', o.user_id, o.stream_sequence, o.webhook, o.status, o.reason, o.finished_at, o.xmin) FROM outcomes o
		 WHERE o.user_id IN (SELECT user_id FROM outcomes WHERE status = 'failed') ORDER BY o.user_id, o.stream_sequence`,
	} {
		rows, err := w.DB.QueryContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close() // an error of reading is in rows.Err
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			all += line + "\n"
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}
