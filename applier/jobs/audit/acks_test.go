package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func yes([]audit.Violation) error { return nil }

// kinds counts violations by their kinds.
func kinds(violations []audit.Violation) map[string]int {
	n := map[string]int{}
	for _, v := range violations {
		n[v.Kind]++
	}
	return n
}

func mustAudit(t *testing.T, a *audit.Auditor, incarnation string) *audit.Report {
	t.Helper()
	r, err := a.Run(t.Context(), incarnation)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustExecute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// An acknowledged finding fails no audit and is repaired by none. What is found
// later, of the same kind or about the same user, does.
func TestAcknowledgedFindings(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	var forget forgetting
	consumed := paying(t, store)
	publish(t, conn, 3, 1)
	consume(t, conn, forget.handle(consumed))
	mustExecute(t, db, `UPDATE balances SET amount = amount + 7`)
	forget.on.Store(true)
	lost := publish(t, conn, 2, 1)
	awaitConsumed(t, conn)
	stream, incarnation := opened(t, conn)
	a := audit.New(store, stream)
	if diff := cmp.Diff(map[string]int{"balance_changed": 1, "unsettled": 2}, kinds(mustAudit(t, a, incarnation).Violations)); diff != "" {
		t.Fatal(diff)
	}

	refused := errors.New("no")
	if err := a.Acknowledge(t.Context(), incarnation, "balance_changed", "ada", "no", func([]audit.Violation) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("refused: %v", err)
	}
	for _, which := range []string{"balance_changed", lost[0]} {
		if err := a.Acknowledge(t.Context(), incarnation, which, "ada", "corrected by hand", yes); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Acknowledge(t.Context(), incarnation, "balance_changed", "ada", "again", yes); !errors.Is(err, audit.ErrNothingFound) {
		t.Errorf("acknowledged once more: %v", err)
	}
	r := mustAudit(t, a, incarnation)
	if diff := cmp.Diff(map[string]int{"unsettled": 1}, kinds(r.Violations)); diff != "" || len(r.Acknowledged) != 2 {
		t.Errorf("%d are acknowledged; %s", len(r.Acknowledged), diff)
	}
	if k := r.Acknowledged[0]; k.By != "ada" || k.Note != "corrected by hand" || k.At.IsZero() {
		t.Errorf("acknowledged as %+v", k)
	}
	asked := 0
	_, _, err := a.Repair(t.Context(), incarnation, nil, func(_ *audit.Report, n int) error { asked = n; return refused })
	if asked != 1 || !errors.Is(err, refused) {
		t.Errorf("a repair asks to publish %d, want the one that is not acknowledged: %v", asked, err)
	}
	// Findings of the continuous audit are acknowledged, too.
	found, log := watched(t, conn, store, db)
	acked := 0
	for _, f := range found {
		if f.Acked {
			acked++
		}
	}
	if acked == 0 || acked != len(found)-1 {
		t.Errorf("%d of %d are acknowledged: %+v, %s", acked, len(found), found, log)
	}

	mustExecute(t, db, `UPDATE balances SET amount = amount + 1`)
	if diff := cmp.Diff(map[string]int{"balance_changed": 1, "unsettled": 1}, kinds(mustAudit(t, a, incarnation).Violations)); diff != "" {
		t.Error(diff)
	}
}

// More findings are acknowledged than are kept. The continuous audit goes on past
// them, and records the next one.
func TestTheContinuousAuditPassesAcknowledgedFindings(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	lose(t, conn, 5*postgres.MaxFindings/2, 100)
	stream, incarnation := opened(t, conn)
	if err := audit.New(store, stream).Acknowledge(t.Context(), incarnation, "unsettled", "ada", "not owed", yes); err != nil {
		t.Fatal(err)
	}
	lost := publish(t, conn, 1, 1)
	awaitConsumed(t, conn)
	found, log := watched(t, conn, store, db)
	var others []string
	for _, f := range found {
		if !f.Acked {
			others = append(others, f.DeliveryID.String())
		}
	}
	if diff := cmp.Diff(lost, others); diff != "" || len(found) != postgres.MaxFindings || !strings.Contains(log, lost[0]) {
		t.Errorf("%d are kept, and it said %s; %s", len(found), log, diff)
	}
}

// That a stream went back is acknowledged for what was settled until then. A stream
// that goes back later is found.
func TestAStreamThatWentBackIsAcknowledged(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	store, _ := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	consume(t, conn, failing(t, store))
	wentBack := func(messages int) int {
		t.Helper()
		restore := server.Backup()
		opened(t, conn)
		publish(t, conn, messages, 1)
		awaitConsumed(t, conn)
		restore()
		stream, incarnation := opened(t, conn)
		return kinds(mustAudit(t, audit.New(store, stream), incarnation).Violations)["stream_went_back"]
	}
	publish(t, conn, 2, 1)
	awaitConsumed(t, conn)
	for _, messages := range []int{5, 3} {
		if n := wentBack(messages); n != 1 {
			t.Fatalf("found %d, want 1", n)
		}
		stream, incarnation := opened(t, conn)
		a := audit.New(store, stream)
		if err := a.Acknowledge(t.Context(), incarnation, "stream_went_back", "ada", "restored", yes); err != nil {
			t.Fatal(err)
		}
		if r := mustAudit(t, a, incarnation); !r.OK() {
			t.Errorf("found %+v", r.Violations)
		}
	}
}

// forgetting is a handler that takes deliveries and settles none, once it is on.
type forgetting struct{ on atomic.Bool }

func (f *forgetting) handle(settle brokertest.Handler) brokertest.Handler {
	return func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		if f.on.Load() {
			return make([]delivery.Verdict, len(batch)) // all settled
		}
		return settle(ctx, batch)
	}
}
