package audit_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

// The audit compares nothing while settling is behind, and all once it has caught up.
func TestTheAuditGivesWayToSettling(t *testing.T) {
	t.Parallel()
	const before, since = 3, 4
	conn := brokertest.Start(t).ConnectSetUp()
	store, _ := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	publish(t, conn, before, 1)
	consume(t, conn, failing(t, store))
	var caughtUp atomic.Bool
	var asked atomic.Int64
	appliertest.Running(t, audit.NewWatch(audit.WatchOptions{
		Store: store, Conn: conn, Log: zerolog.Nop(), Metrics: prometheus.NewRegistry(),
		Behind: func(context.Context) bool { asked.Add(1); return !caughtUp.Load() },
	}).Run)
	compared := func() uint64 {
		p, _, err := store.Audited(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p.Sequence
	}
	appliertest.Eventually(t, "the first turn is over", func() bool { return compared() == before })
	publish(t, conn, since, 1)
	awaitConsumed(t, conn)
	until := asked.Load() + 4 // by two jobs
	appliertest.Eventually(t, "it was asked again and again", func() bool { return asked.Load() >= until })
	if n := compared(); n != before {
		t.Errorf("message %d was compared, want %d", n, before)
	}
	caughtUp.Store(true)
	appliertest.Eventually(t, "all is compared", func() bool { return compared() == before+since })
}
