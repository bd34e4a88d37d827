package audit_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func yes([]admin.Finding) error { return nil }

// acknowledge does what the command does: it writes the audit trail, too.
func acknowledge(t *testing.T, a *audit.Auditor, store *postgres.Store, incarnation, which, note string) {
	t.Helper()
	n := 0
	count := func(found []admin.Finding) error { n = len(found); return nil }
	if err := a.Acknowledge(t.Context(), incarnation, which, "ada", note, count); err != nil {
		t.Fatal(err)
	}
	err := store.AddTrail(t.Context(), admin.TrailEntry{
		Actor: admin.Actor{Via: "command", Who: "ada"}, What: postgres.AckAction, TargetKind: "findings", TargetID: which,
		Detail: fmt.Appendf(nil, `{"findings":%d,"note":%q}`, n, note),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// kinds counts violations by their kinds.
func kinds(violations []admin.Finding) map[string]int {
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
	if err := a.Acknowledge(t.Context(), incarnation, "balance_changed", "ada", "no", func([]admin.Finding) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("refused: %v", err)
	}
	for _, which := range []string{"balance_changed", lost[0]} {
		acknowledge(t, a, store, incarnation, which, "corrected by hand")
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
	acknowledge(t, audit.New(store, stream), store, incarnation, "unsettled", "not owed")
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
		acknowledge(t, a, store, incarnation, "stream_went_back", "restored")
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

// Somebody with the password of a role makes up a balance, and a row that acknowledges
// what the audit says of it. Such a row hides nothing, and is named.
func TestAnAcknowledgementNeedsALineOfTheTrail(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	publish(t, conn, 2, 1)
	consume(t, conn, paying(t, store))
	stream, incarnation := opened(t, conn)
	a := audit.New(store, stream)
	if r := mustAudit(t, a, incarnation); !r.OK() {
		t.Fatalf("found %+v", r.Violations)
	}
	mustExecute(t, db, `UPDATE balances SET amount = amount + 7`)
	if err := a.Acknowledge(t.Context(), incarnation, "balance_changed", "ada", "mine", yes); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"balance_changed": 1, "ack_without_trail": 1}
	wantFound := func(what string) {
		t.Helper()
		if diff := cmp.Diff(want, kinds(mustAudit(t, a, incarnation).Violations)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	wantFound("no line at all")
	add := func(who, which, detail string) {
		t.Helper()
		err := store.AddTrail(t.Context(), admin.TrailEntry{Actor: admin.Actor{Via: "command", Who: who}, What: postgres.AckAction, TargetKind: "findings", TargetID: which, Detail: []byte(detail)})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("bert", "balance_changed", `{"findings":1,"note":"mine"}`)
	add("ada", "log_missing", `{"findings":1,"note":"mine"}`)
	add("ada", "balance_changed", `{"findings":1,"note":"another"}`)
	add("ada", "balance_changed", `{"findings":0,"note":"mine"}`)
	add("ada", "balance_changed", `{"note":"\u0000"}`)
	add("ada", "balance_changed", `[]`)
	wantFound("lines of others")
	mustExecute(t, db, `UPDATE audit_acks SET at = at - interval '1 hour'`)
	add("ada", "balance_changed", `{"findings":1,"note":"mine"}`)
	wantFound("a line of another time")
	mustExecute(t, db, `UPDATE audit_acks SET at = clock_timestamp()`)
	if r := mustAudit(t, a, incarnation); !r.OK() || len(r.Acknowledged) != 1 {
		t.Errorf("with its line: found %+v", r.Violations)
	}
	// One line speaks for as many as it says.
	mustExecute(t, db, `INSERT INTO audit_acks SELECT kind, delivery_id, user_id, currency, stream_sequence, detail || '!', acked_by, note, at FROM audit_acks`)
	if n := kinds(mustAudit(t, a, incarnation).Violations)["ack_without_trail"]; n != 1 {
		t.Errorf("%d acknowledgements are without a line, want 1", n)
	}
}

// A role writes records that agree with each other: user, balance, logs and outcome. The
// stream has no such delivery.
func TestMadeUpRecordsAreFound(t *testing.T) {
	t.Parallel()
	const copied = `
WITH o AS (SELECT * FROM outcomes LIMIT 1), made AS (
    INSERT INTO outcomes SELECT (o2).* FROM (SELECT jsonb_populate_record(NULL::outcomes, to_jsonb(o) || jsonb_build_object('delivery_id', '%s') || '%s'::jsonb) AS o2 FROM o) x
    RETURNING delivery_id
), l AS (SELECT * FROM gamification_logs ORDER BY number DESC LIMIT 1), log AS (
    INSERT INTO gamification_logs (delivery_id, ordinal, user_id, currency, number, operator, amount, balance, action, webhook_id, at)
    SELECT made.delivery_id, l.ordinal, l.user_id, l.currency, l.number + 1, l.operator, l.amount, l.balance + l.amount, l.action, l.webhook_id, l.at FROM l, made
)
UPDATE balances b SET amount = b.amount + l.amount, entries = b.entries + 1 FROM l WHERE b.user_id = l.user_id AND b.currency = l.currency`
	for name, tc := range map[string]struct{ changes, want string }{
		"of no stream":               {`{"stream_epoch": 0}`, "outcome_without_stream"},
		"of an import":               {`{"stream_epoch": -1}`, "outcome_without_stream"},
		"of a stream that is none":   {`{"stream_epoch": 77}`, "outcome_without_stream"},
		"of a message in the stream": {`{}`, "not_in_stream"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := brokertest.Start(t).ConnectSetUp()
			store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
			publish(t, conn, 1, 1)
			consume(t, conn, paying(t, store))
			stream, incarnation := opened(t, conn)
			a := audit.New(store, stream)
			if r := mustAudit(t, a, incarnation); !r.OK() {
				t.Fatalf("found %+v", r.Violations)
			}
			made := delivery.NewID()
			mustExecute(t, db, fmt.Sprintf(copied, made, tc.changes))
			r := mustAudit(t, a, incarnation)
			if len(r.Violations) != 1 || r.Violations[0].Kind != tc.want || *r.Violations[0].DeliveryID != made {
				t.Errorf("found %+v, want %s of %s alone: the rows agree", r.Violations, tc.want, made)
			}
		})
	}
}
