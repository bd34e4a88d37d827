package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// lose publishes deliveries that an applier takes from the stream and forgets.
func lose(t *testing.T, conn *broker.Conn, n, atOnce int) (ids []string) {
	t.Helper()
	ids = publish(t, conn, n, atOnce)
	consume(t, conn, func(_ context.Context, batch []delivery.Delivery) []delivery.Verdict {
		return slices.Repeat([]delivery.Verdict{delivery.Settled}, len(batch))
	})
	return ids
}

// failing settles all deliveries, as failed.
func failing(t *testing.T, store *postgres.Store) brokertest.Handler {
	return func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		items := make([]applier.Item, len(batch))
		for i := range batch {
			items[i] = applier.Item{Delivery: &batch[i], Failure: &delivery.Failure{Reason: delivery.Internal}}
		}
		if _, err := store.Settle(ctx, items); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		return slices.Repeat([]delivery.Verdict{delivery.Settled}, len(batch))
	}
}

// consume has an applier handle all that there is, and what comes until the test
// ends.
func consume(t *testing.T, conn *broker.Conn, handle brokertest.Handler) {
	t.Helper()
	appliertest.Running(t, brokertest.NewConsumer(conn, handle).Run)
	awaitConsumed(t, conn)
}

func awaitConsumed(t *testing.T, conn *broker.Conn) {
	t.Helper()
	stream, _ := opened(t, conn)
	appliertest.Eventually(t, "the broker counts all as settled", func() bool {
		p, err := stream.Pending(t.Context())
		return err == nil && p.First > p.Last
	})
}

// publish publishes n deliveries, so many at once.
func publish(t *testing.T, conn *broker.Conn, n, atOnce int) (ids []string) {
	t.Helper()
	all := make([]delivery.Delivery, n)
	for i := range all {
		all[i] = newDelivery(fmt.Appendf(nil, `{"n":%d}`, i))
		ids = append(ids, all[i].ID.String())
	}
	publishAll(t, conn, slices.Chunk(all, atOnce))
	return ids
}

// slot is that of all deliveries.
const slot = 17

func newDelivery(body []byte) delivery.Delivery {
	return delivery.Delivery{ID: delivery.NewID(), WebhookID: webhook.NewID(), Slot: slot, ReceivedAt: time.Now(), Body: body}
}

func publishAll(t *testing.T, conn *broker.Conn, chunks iter.Seq[[]delivery.Delivery]) {
	t.Helper()
	publisher := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop()})
	appliertest.Running(t, publisher.Run)
	for chunk := range chunks {
		if err := publisher.PublishAll(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
	}
}

// Every one of many is named, by the audit and by the one that always runs, which
// keeps as many as it may.
func TestEachLostDeliveryIsNamed(t *testing.T) {
	t.Parallel()
	const lost = 2500
	conn := brokertest.Start(t).ConnectSetUp()
	store, _ := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	ids := lose(t, conn, lost, lost)
	stream, incarnation := opened(t, conn)
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
	appliertest.Running(t, audit.NewWatch(audit.WatchOptions{Store: store, Conn: conn, Log: zerolog.Nop(), Metrics: metrics}).Run)
	var found []admin.Finding
	appliertest.Eventually(t, "the findings are there", func() bool {
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
	appliertest.Eventually(t, "they are counted", func() bool {
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
	lose(t, conn, 3, 3)
	metrics := prometheus.NewRegistry()
	appliertest.Running(t, audit.NewWatch(audit.WatchOptions{Store: store, Conn: conn, Log: zerolog.Nop(), Metrics: metrics}).Run)
	appliertest.Eventually(t, "the stream is compared", func() bool {
		p, found, err := store.Audited(t.Context())
		return err == nil && p.Sequence > 0 && len(found) == 3
	})
	appliertest.Eventually(t, "the findings are counted", func() bool {
		n, err := testutil.GatherAndCount(metrics, "coinhook_audit_findings")
		return err == nil && n == 1
	})
}

// What appliers settle in many small messages, or in a few large ones, is soon
// compared.
func TestABacklogIsComparedInFewTurns(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ deliveries, atOnce, turns int }{
		"small messages": {600, 1, 4},
		"large messages": {22_000, 22_000, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := brokertest.Start(t).ConnectSetUp()
			store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
			publish(t, conn, tc.deliveries, tc.atOnce)
			consume(t, conn, failing(t, store))
			stream, _ := opened(t, conn)
			extent, err := stream.Extent(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			appliertest.Running(t, audit.NewWatch(audit.WatchOptions{Store: store, Conn: conn, Log: zerolog.Nop(), Metrics: prometheus.NewRegistry()}).Run)
			var turns int
			appliertest.Eventually(t, "all are compared", func() bool {
				var sequence uint64
				err := db.QueryRowContext(t.Context(), `SELECT sequence, turn FROM audit_progress`).Scan(&sequence, &turns)
				return err == nil && sequence == extent.Last
			})
			if turns > tc.turns {
				t.Errorf("it took %d turns, want %d", turns, tc.turns)
			}
			if found, err := store.Findings(t.Context()); err != nil || len(found) > 0 {
				t.Errorf("found %+v, %v", found, err)
			}
		})
	}
}

// What is removed from the stream while it is read is missed by nobody.
func TestTheAuditDoesNotMissWhatIsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	const messages = 40 // large ones, so that they are more than one page
	for name, kept := range map[string]uint64{"all goes": 0, "the last one stays": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := brokertest.Start(t).ConnectSetUp()
			store, _ := postgrestest.Open(t, postgres.Options{MaxConns: 4})
			all := make([]delivery.Delivery, messages)
			for i := range all {
				all[i] = newDelivery(bytes.Repeat([]byte("x"), 400<<10))
			}
			publishAll(t, conn, slices.Chunk(all, 1))
			consume(t, conn, failing(t, store))
			stream, incarnation := opened(t, conn)
			auditor := audit.New(store, stream)
			removed := false
			auditor.Progress = func(string) {
				if !removed {
					removed = true
					if err := stream.RemoveTo(t.Context(), messages-kept); err != nil {
						t.Error(err)
					}
				}
			}
			report, err := auditor.Run(t.Context(), incarnation)
			if err != nil {
				t.Fatal(err)
			}
			if !removed || report.Accepted >= messages || !report.OK() {
				t.Errorf("of %d it read %d, and found %+v", messages, report.Accepted, report.Violations)
			}
		})
	}
}

// opened opens the stream, also of a server that was just started again.
func opened(t *testing.T, conn *broker.Conn) (stream *broker.Stream, incarnation string) {
	t.Helper()
	appliertest.Eventually(t, "the stream is there", func() (ok bool) {
		var err error
		if stream, err = conn.OpenStream(t.Context()); err == nil {
			incarnation, err = conn.Incarnation(t.Context())
		}
		return err == nil
	})
	return stream, incarnation
}
