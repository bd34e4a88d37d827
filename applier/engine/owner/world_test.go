package owner_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/engine/owner"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// world is a broker and a database that are set up.
type world struct {
	*appliertest.World
	t   *testing.T
	all []*member
}

func newWorld(t *testing.T, partitions int) *world {
	t.Helper()
	w := &world{t: t, World: appliertest.New(t, appliertest.Options{Store: postgres.Options{MaxConns: 8}, Partitions: partitions})}
	w.Exec("CREATE TABLE settled (partition integer, token bigint, at timestamptz DEFAULT clock_timestamp())")
	return w
}

// member is an applier: an owner and an engine that settles nothing.
type member struct {
	*engine
	w       *world
	name    string
	store   *gate
	away    atomic.Bool
	metrics *prometheus.Registry
	stop    context.CancelFunc
	stopped chan struct{}
}

// join starts an applier.
func (w *world) join(name string) *member {
	w.t.Helper()
	m := &member{
		engine: &engine{has: map[delivery.Partition]tenure{}}, w: w, name: name, metrics: prometheus.NewRegistry(),
		store: &gate{Store: w.Store}, stopped: make(chan struct{}),
	}
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	log := zerolog.New(zerolog.NewTestWriter(w.t)).With().Str("applier", name).Logger()
	o := owner.New(owner.Options{
		Store: m.store, Engine: m.engine, Broker: &line{Conn: w.Server.ConnectAs(broker.Applier), away: &m.away}, Name: name, Log: log, Metrics: m.metrics,
		Report: report.New(zerolog.Nop(), prometheus.NewRegistry()),
	})
	go func() {
		defer close(m.stopped)
		if err := o.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	w.t.Cleanup(m.leave)
	w.all = append(w.all, m)
	return m
}

// leave ends the applier as SIGTERM does.
func (m *member) leave() {
	m.stop()
	<-m.stopped
}

// kill ends the applier as kill -9 does: nothing is released.
func (m *member) kill() {
	m.store.set(func(context.Context) error { return errors.New("killed") })
	m.leave()
}

// line is a connection that can be taken for lost.
type line struct {
	*broker.Conn
	away *atomic.Bool
}

func (l *line) Connected() bool { return !l.away.Load() && l.Conn.Connected() }

// gate is a store whose rounds can be held up.
type gate struct {
	*postgres.Store
	mu   sync.Mutex
	pass func(context.Context) error
}

func (g *gate) set(pass func(context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pass = pass
}

func (g *gate) Leases(ctx context.Context, r postgres.LeaseRound) (postgres.LeaseView, error) {
	g.mu.Lock()
	pass := g.pass
	g.mu.Unlock()
	if pass != nil {
		if err := pass(ctx); err != nil {
			return postgres.LeaseView{}, err
		}
	}
	return g.Store.Leases(ctx, r)
}

// engine is what an applier's engine is to its owner.
type engine struct {
	mu       sync.Mutex
	has      map[delivery.Partition]tenure
	finished []delivery.Partition
	// busy has a Drop wait until it is closed.
	busy  chan struct{}
	drops int
}

type tenure struct {
	applier.Lease
	endsAt uint64
}

func (e *engine) Take(l applier.Lease, endsAt uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, twice := e.has[l.Partition]; twice {
		panic(fmt.Sprintf("partition %s is taken twice", l.Partition))
	}
	e.has[l.Partition] = tenure{l, endsAt}
}

func (e *engine) EndAt(p delivery.Partition, sequence uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, ok := e.has[p]
	if !ok {
		panic(fmt.Sprintf("partition %s is not here", p))
	}
	t.endsAt = sequence
	e.has[p] = t
}

func (e *engine) Drop(ctx context.Context, p delivery.Partition) bool {
	e.mu.Lock()
	e.drops++
	busy := e.busy
	e.mu.Unlock()
	if busy != nil {
		select {
		case <-busy:
		case <-ctx.Done():
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.has, p)
	return ctx.Err() == nil
}

func (e *engine) Finished() []delivery.Partition {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.finished)
}

// finish has the engine say that it has come to the end of a partition.
func (e *engine) finish(p delivery.Partition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.finished = append(e.finished, p)
}

func (e *engine) leases() map[delivery.Partition]tenure {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.has)
}

// settle is a transaction of a lease, as the store's are.
func (w *world) settle(ctx context.Context, l applier.Lease, meanwhile func()) error {
	tx, err := w.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // it is committed, or failed
	var token int64
	_, err = tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock_shared($1, $2)", 0x636f6970, l.Generation*delivery.Slots+l.Index)
	if err == nil {
		err = tx.QueryRowContext(ctx, "SELECT token FROM partitions WHERE generation = $1 AND partition = $2", l.Generation, l.Index).Scan(&token)
	}
	if err == nil && token != l.Token {
		err = &applier.FencedError{Lost: []*applier.Lease{&l}}
	}
	if err != nil {
		return err
	}
	if meanwhile != nil {
		meanwhile()
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO settled (partition, token) VALUES ($1, $2)", l.Index, l.Token); err != nil {
		return err
	}
	return tx.Commit()
}

// shares are how many partitions the appliers settle. It fails where two settle one.
func (w *world) shares(members ...*member) (counts []int) {
	w.t.Helper()
	for _, m := range members {
		counts = append(counts, len(m.leases()))
	}
	slices.Sort(counts)
	return counts
}

// together fails where two appliers settle the same partition. Looks at several engines
// are not at one moment: only what is there before and after counts.
func (w *world) together(members ...*member) {
	w.t.Helper()
	owners := map[delivery.Partition][]string{}
	for _, m := range members {
		for p, t := range m.leases() {
			owners[p] = append(owners[p], fmt.Sprintf("%s (token %d)", m.name, t.Token))
		}
	}
	for p, names := range owners {
		if len(names) > 1 {
			w.t.Errorf("partition %s is with %s", p, strings.Join(names, " and "))
		}
	}
}

// within waits until f holds, and returns how long that took.
func (w *world) within(limit time.Duration, what string, f func() bool) time.Duration {
	w.t.Helper()
	start := time.Now()
	for !f() {
		if time.Since(start) > limit {
			w.t.Fatalf("not within %s: %s", limit, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	w.t.Logf("%s: %s", what, time.Since(start).Round(time.Millisecond))
	return time.Since(start)
}

func (w *world) awaitShares(limit time.Duration, want []int, members ...*member) {
	w.t.Helper()
	w.within(limit, fmt.Sprintf("the shares are %v", want), func() bool { return slices.Equal(w.shares(members...), want) })
	w.together(members...)
}

func metricOf(t *testing.T, m *member, name string) float64 {
	t.Helper()
	return appliertest.Metric(t, m.metrics, name)
}

func takeovers(t *testing.T, m *member) float64 {
	t.Helper()
	return metricOf(t, m, "coinhook_partition_takeovers_total")
}
