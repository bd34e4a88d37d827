package audit_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// running runs f until the test ends.
func running(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := f(ctx); err != nil {
			t.Errorf("running: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); done.Wait() })
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

// lose publishes deliveries that an applier takes from the stream and forgets.
func lose(t *testing.T, conn *broker.Conn, n int) (ids []string) {
	t.Helper()
	publisher := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop()})
	running(t, publisher.Run)
	all := make([]delivery.Delivery, n)
	for i := range all {
		all[i] = delivery.Delivery{ID: delivery.NewID(), WebhookID: webhook.NewID(), ReceivedAt: time.Now(), Body: fmt.Appendf(nil, `{"n":%d}`, i)}
		ids = append(ids, all[i].ID.String())
	}
	if err := publisher.PublishAll(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	forget := func(_ context.Context, batch []delivery.Delivery) []delivery.Verdict {
		return slices.Repeat([]delivery.Verdict{delivery.Settled}, len(batch))
	}
	running(t, broker.NewConsumer(conn, forget, broker.ConsumerOptions{Log: zerolog.Nop()}).Run)
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are let go of", func() bool {
		p, err := stream.Pending(t.Context())
		return err == nil && p.First > p.Last
	})
	return ids
}

// Every one of many is named, by the audit and by the one that always runs, which
// keeps as many as it may.
func TestEachLostDeliveryIsNamed(t *testing.T) {
	t.Parallel()
	const lost = 2500
	conn := brokertest.Start(t).ConnectSetUp()
	store, _ := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	ids := lose(t, conn, lost)
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	incarnation, err := conn.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.New(store, stream).Run(t.Context(), incarnation)
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, v := range report.Violations {
		named = append(named, v.DeliveryID.String())
	}
	if report.Unsettled != lost || !slices.Equal(named, ids) {
		t.Errorf("%d are unsettled and %d named, want each of %d", report.Unsettled, len(named), lost)
	}

	metrics := prometheus.NewRegistry()
	running(t, audit.NewWatch(audit.WatchOptions{Store: store, Conn: conn, Log: zerolog.Nop(), Metrics: metrics}).Run)
	var found []postgres.Finding
	eventually(t, "the findings are there", func() bool {
		found, err = store.Findings(t.Context())
		return err == nil && len(found) > 0
	})
	if len(found) != postgres.MaxFindings {
		t.Errorf("%d are kept, want %d", len(found), postgres.MaxFindings)
	}
	for _, f := range found {
		if f.Kind != "unsettled" || !slices.Contains(ids, f.DeliveryID.String()) {
			t.Fatalf("found %+v", f)
		}
	}
	eventually(t, "they are counted", func() bool {
		n, err := testutil.GatherAndCount(metrics, "coinhook_audit_findings")
		return err == nil && n == 1
	})
}

// What keeps the ledger from being checked does not keep the stream from it.
func TestALedgerThatCannotBeReadLeavesTheStreamToBeCompared(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	if _, err := db.ExecContext(t.Context(), `ALTER TABLE log_bases RENAME TO elsewhere`); err != nil {
		t.Fatal(err)
	}
	lose(t, conn, 3)
	metrics := prometheus.NewRegistry()
	running(t, audit.NewWatch(audit.WatchOptions{Store: store, Conn: conn, Log: zerolog.Nop(), Metrics: metrics}).Run)
	eventually(t, "the stream is compared", func() bool {
		p, found, err := store.Audited(t.Context())
		return err == nil && p.Sequence == 1 && len(found) == 3
	})
	eventually(t, "the findings are counted", func() bool {
		n, err := testutil.GatherAndCount(metrics, "coinhook_audit_findings")
		return err == nil && n == 1
	})
}
