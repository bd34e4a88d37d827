package audit_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/retention"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// paying gives Alice a coin for each delivery, but for those that hold back names.
func paying(t *testing.T, store *postgres.Store, holdBack func(delivery.ID) bool) brokertest.Handler {
	t.Helper()
	const community = "default"
	if _, err := store.ImportUsers(t.Context(), community, []postgres.NewUser{{Email: "alice@example.com"}}); err != nil {
		t.Fatal(err)
	}
	w := &webhook.Webhook{Record: webhook.Record{ID: webhook.NewID(), Definition: webhook.Definition{Name: "Shop", Community: community}}}
	return func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		verdicts := make([]delivery.Verdict, len(batch))
		var items []applier.Item
		for i := range batch {
			if holdBack != nil && holdBack(batch[i].ID) {
				verdicts[i] = delivery.Parked(context.DeadlineExceeded)
				continue
			}
			items = append(items, applier.Item{Delivery: &batch[i], Webhook: w, Plan: applier.Plan{
				User:    applier.UserRef{By: webhook.ByEmail, Value: "alice@example.com"},
				Changes: []applier.Change{{Currency: "coins", Operator: webhook.Add, Amount: 1}},
			}})
		}
		if _, err := store.Settle(ctx, items); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		return verdicts
	}
}

func coins(t *testing.T, store *postgres.Store) int64 {
	t.Helper()
	u, err := store.FindUser(t.Context(), "default", "alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	return u.Balances["coins"]
}

// right are clocks that agree.
type right struct{}

func (right) Agree(context.Context) (bool, error) { return true, nil }

// removeOld audits and removes until so many outcomes are left.
func removeOld(t *testing.T, conn *broker.Conn, store *postgres.Store, db *sql.DB, left int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var jobs sync.WaitGroup
	metrics := prometheus.NewRegistry()
	for _, run := range []func(context.Context) error{
		audit.NewWatch(audit.WatchOptions{Store: store, Conn: conn, Log: zerolog.Nop(), Metrics: metrics}).Run,
		retention.New(retention.Options{
			Store: store, Conn: conn, Stream: time.Second, History: 2 * time.Second, Clocks: right{}, Log: zerolog.Nop(), Metrics: metrics,
		}).Run,
	} {
		jobs.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "what is old is removed", func() bool {
		var n int
		err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM outcomes`).Scan(&n)
		return err == nil && n == left
	})
	cancel()
	jobs.Wait()
}

// Deliveries that were paid and removed with their history come back with a stream
// from before. Neither a repair nor a consumer that is made again pays them again.
func TestAStreamFromBeforeTheRemovalIsNotPaidAgain(t *testing.T) {
	t.Parallel()
	const paid, since = 20, 5
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	publish(t, conn, paid, 3)
	consume(t, conn, paying(t, store, nil))
	restore := server.Backup()
	opened(t, conn)
	removeOld(t, conn, store, db, 0)
	restore()
	stream, incarnation := opened(t, conn)

	report, repaired, err := audit.New(store, stream).Repair(t.Context(), incarnation, nil, func(_ *audit.Report, n int) error {
		return fmt.Errorf("it asks to publish %d again", n)
	})
	if err != nil {
		t.Fatal(err)
	}
	if repaired != 0 || report.Removed != paid || report.Accepted != paid || !report.OK() {
		t.Errorf("repaired %d: %+v", repaired, report)
	}

	server.LoseConsumer() // setup makes it again, and it hands out everything
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	publish(t, conn, since, 1)
	awaitConsumed(t, conn)
	if got := coins(t, store); got != paid+since {
		t.Errorf("%d coins for %d deliveries", got, paid+since)
	}
	if report, err = audit.New(store, stream).Run(t.Context(), incarnation); err != nil || report.Removed != paid || report.Success != since || !report.OK() {
		t.Errorf("%+v, %v", report, err)
	}
}

// A delivery that waits while everything around it is settled and grows old is
// executed all the same: what is not settled holds back the removal.
func TestADeliveryThatWaitsIsNotTakenForRemoved(t *testing.T) {
	t.Parallel()
	const each = 5
	conn := brokertest.Start(t).ConnectSetUp()
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	waits := newDelivery([]byte("{}"))
	ready := make(chan struct{})
	running(t, brokertest.NewConsumer(conn, paying(t, store, func(id delivery.ID) bool {
		select {
		case <-ready:
			return false
		default:
			return id == waits.ID
		}
	})).Run)
	publish(t, conn, each, 1)
	publishAll(t, conn, slices.Values([][]delivery.Delivery{{waits}}))
	publish(t, conn, each, 1)
	eventually(t, "the others are paid", func() bool { return coins(t, store) == 2*each })
	removeOld(t, conn, store, db, each) // those behind it are in the stream
	close(ready)
	awaitConsumed(t, conn)
	if got := coins(t, store); got != 2*each+1 {
		t.Errorf("%d coins for %d deliveries", got, 2*each+1)
	}
}
