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
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/jobs/retention"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// paying gives Alice a coin for each delivery.
func paying(t *testing.T, store *postgres.Store) brokertest.Handler {
	t.Helper()
	if _, err := store.ImportUsers(t.Context(), "default", []postgres.NewUser{{Email: "alice@example.com"}}); err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		items := make([]applier.Item, len(batch))
		for i := range batch {
			items[i] = payAlice(&batch[i])
		}
		if _, err := store.Settle(ctx, items); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		return make([]delivery.Verdict, len(batch))
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
	appliertest.Eventually(t, "what is old is removed", func() bool {
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
	consume(t, conn, paying(t, store))
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

	server.LosePartitions() // setup makes them again, and they hand out everything
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

// A delivery that is parked while everything around it is settled, grows old and is
// removed is executed all the same, and the audit knows it meanwhile.
func TestADeliveryThatWaitsIsNotTakenForRemoved(t *testing.T) {
	t.Parallel()
	const each = 5
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	waits := newDelivery([]byte("{}"))
	var p parking
	p.pause(waits.WebhookID)
	publish(t, conn, each, 1)
	publishAll(t, conn, slices.Values([][]delivery.Delivery{{waits}}))
	publish(t, conn, each, 1)
	consume(t, conn, p.handle(t, store, paying(t, store)))
	restore := server.Backup()
	opened(t, conn)
	removeOld(t, conn, store, db, 0)
	restore() // it has them all again
	stream, incarnation := opened(t, conn)
	if r := mustAudit(t, audit.New(store, stream), incarnation); r.Parked != 1 || r.Removed != 2*each || !r.OK() {
		t.Errorf("%+v", r)
	}
	p.resume(t, store, waits.WebhookID, payAlice)
	if got := coins(t, store); got != 2*each+1 {
		t.Errorf("%d coins for %d deliveries", got, 2*each+1)
	}
}
