package audit_test

import (
	"bytes"
	"context"
	"database/sql"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// watched runs a watch until it has compared all that the appliers have let go of,
// and returns what it finds then and what it said.
func watched(t *testing.T, conn *broker.Conn, store *postgres.Store, db *sql.DB) (found []admin.Finding, log string) {
	t.Helper()
	var said bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watching sync.WaitGroup
	turns := func() (n int) {
		if err := db.QueryRowContext(t.Context(), `SELECT turn FROM audit_progress`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := turns()
	watch := audit.NewWatch(audit.WatchOptions{Store: store, Conn: conn, Log: zerolog.New(zerolog.SyncWriter(&said)).Level(zerolog.WarnLevel), Metrics: prometheus.NewRegistry()})
	watching.Go(func() {
		if err := watch.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stream, _ := opened(t, conn)
	extent, err := stream.Extent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	appliertest.Eventually(t, "all is compared", func() bool {
		turned := turns() > before
		p, list, err := store.Audited(t.Context())
		found = list
		return err == nil && p.Sequence == extent.Last && turned
	})
	cancel()
	watching.Wait()
	return found, said.String()
}

// Places in the stream that are used again are compared again, after the stream
// came back from a backup, and no others.
func TestWhatIsWrittenAfterARestoreIsCompared(t *testing.T) {
	t.Parallel()
	const before, since = 5, 5 // messages before the backup and after it
	for name, after := range map[string]int{
		"the stream is shorter than it was":    since - 2,
		"the stream is longer than it was":     since + 3,
		"the stream is as long as it was":      since,
		"the stream has as much as before it":  0,
		"the stream has one more than that":    1,
		"the stream has much more than it had": 300,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := brokertest.Start(t)
			conn := server.ConnectSetUp()
			store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
			var forget atomic.Bool
			settle := failing(t, store)
			publish(t, conn, before, 1)
			consume(t, conn, func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
				if forget.Load() {
					return slices.Repeat([]delivery.Verdict{delivery.Settled}, len(batch))
				}
				return settle(ctx, batch)
			})
			restore := server.Backup()
			opened(t, conn)
			publish(t, conn, since, 1)
			awaitConsumed(t, conn)
			if found, log := watched(t, conn, store, db); len(found) > 0 {
				t.Fatalf("found %+v, and said %s", found, log)
			}

			restore()
			opened(t, conn)
			forget.Store(true)
			lost := publish(t, conn, after, 1)
			awaitConsumed(t, conn)
			found, log := watched(t, conn, store, db)
			var unsettled []string
			for _, f := range found {
				if f.Kind == "unsettled" {
					unsettled = append(unsettled, f.DeliveryID.String())
				}
			}
			slices.Sort(unsettled)
			if !slices.Equal(unsettled, lost) {
				t.Errorf("found %d of %d: %+v", len(unsettled), len(lost), found)
			}
			if !strings.Contains(log, `"stream_went_back"`) {
				t.Errorf("it said %s", log)
			}
		})
	}
}

// A stream that goes on, also after it was stopped or its old messages were
// removed, did not go back.
func TestAStreamThatGoesOnDidNotGoBack(t *testing.T) {
	t.Parallel()
	const messages = 5
	for name, meanwhile := range map[string]func(*testing.T, *brokertest.Server, *broker.Stream){
		"nothing happens": func(*testing.T, *brokertest.Server, *broker.Stream) {},
		"it is stopped":   func(_ *testing.T, server *brokertest.Server, _ *broker.Stream) { server.Stop(); server.Start() },
		"all is removed": func(t *testing.T, _ *brokertest.Server, stream *broker.Stream) {
			if err := stream.RemoveTo(t.Context(), messages); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := brokertest.Start(t)
			conn := server.ConnectSetUp()
			store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
			publish(t, conn, messages, 1)
			consume(t, conn, failing(t, store))
			watched(t, conn, store, db)
			stream, _ := opened(t, conn)
			meanwhile(t, server, stream)
			opened(t, conn)
			publish(t, conn, messages, 1)
			awaitConsumed(t, conn)
			if found, log := watched(t, conn, store, db); len(found) > 0 || log != "" {
				t.Errorf("found %+v, and said %s", found, log)
			}
		})
	}
}
