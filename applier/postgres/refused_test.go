package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// oneWebhook is the definition of every delivery.
type oneWebhook struct{ *webhook.Webhook }

func (w oneWebhook) At(context.Context, string, uint64) (*webhook.Webhook, error) {
	return w.Webhook, nil
}

func (w oneWebhook) Version(context.Context, string, int) (*webhook.Webhook, error) {
	return w.Webhook, nil
}

func (w oneWebhook) TookClear(context.Context, string, uint64, time.Time) (bool, error) {
	return false, nil
}

// newApplier adds one coin to alice for each delivery.
func newApplier(s *postgres.Store) *applier.Applier {
	evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
		return applier.Plan{
			User:    applier.UserRef{By: webhook.ByEmail, Value: "alice@example.com"},
			Changes: []applier.Change{change(webhook.Add, "coins", 1)},
		}, nil, nil
	}
	return applier.New(oneWebhook{shop}, s, evaluate, s, report.New(zerolog.Nop(), prometheus.NewRegistry()))
}

func newDeliveries(tb testing.TB, n int) []delivery.Delivery {
	tb.Helper()
	batch := make([]delivery.Delivery, n)
	for i := range batch {
		batch[i] = *newDelivery(tb)
	}
	return batch
}

func waiting(verdicts []delivery.Verdict) (n int) {
	for _, v := range verdicts {
		if !v.IsSettled() {
			n++
		}
	}
	return n
}

// Tables that refuse every delivery make no dead letters: the deliveries wait until
// the tables fit again.
func TestTablesThatRefuseEveryDelivery(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ breaks, mends, state string }{
		"a column of outcomes that the applier does not know": {
			"ALTER TABLE outcomes ADD COLUMN shard int NOT NULL", "ALTER TABLE outcomes DROP COLUMN shard", "23502",
		},
		"a column of logs that the applier does not know": {
			"ALTER TABLE gamification_logs ADD COLUMN shard int NOT NULL", "ALTER TABLE gamification_logs DROP COLUMN shard", "23502",
		},
		"a trigger that refuses": {
			`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON balances FOR EACH ROW EXECUTE FUNCTION refuse()`, "DROP TRIGGER refuse ON balances", "P0001",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := postgrestest.Open(t, postgres.Options{Settling: true})
			addUsers(t, s, "alice@example.com")
			execute(t, db, tc.breaks)
			app, batch := newApplier(s), newDeliveries(t, 100)
			for range 3 {
				if n := waiting(app.Handle(t.Context(), batch)); n != len(batch) {
					t.Fatalf("%d of %d wait", n, len(batch))
				}
			}
			if err := app.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), tc.state) {
				t.Errorf("readiness says %v, want %s", err, tc.state)
			}
			execute(t, db, tc.mends)
			if n := waiting(app.Handle(t.Context(), batch)); n != 0 {
				t.Errorf("%d of %d wait after the tables fit again", n, len(batch))
			}
			if err := app.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			if got := balances(t, s, "alice@example.com")["coins"]; got != int64(len(batch)) {
				t.Errorf("%d coins, want %d", got, len(batch))
			}
			checkLedger(t, db)
		})
	}
}

// A sequence that is behind, as after a copy without sequences, makes no dead
// letters either, however few deliveries come at a time.
func TestASequenceThatIsBehindFailsNoDelivery(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	app := newApplier(s)
	if n := waiting(app.Handle(t.Context(), newDeliveries(t, 200))); n != 0 {
		t.Fatalf("%d wait", n)
	}
	execute(t, db, "SELECT setval(pg_get_serial_sequence('gamification_logs', 'id'), 1)")
	few, many := newDeliveries(t, 1), newDeliveries(t, 20)
	if n := waiting(app.Handle(t.Context(), few)) + waiting(app.Handle(t.Context(), many)); n != 21 {
		t.Errorf("%d of 21 wait", n)
	}
	execute(t, db, "SELECT setval(pg_get_serial_sequence('gamification_logs', 'id'), max(id)) FROM gamification_logs")
	if n := waiting(app.Handle(t.Context(), few)) + waiting(app.Handle(t.Context(), many)); n != 0 {
		t.Errorf("%d wait after the sequence was set", n)
	}
	if n := count(t, db, "SELECT count(*) FROM outcomes WHERE status <> 'success'"); n != 0 {
		t.Errorf("%d failed", n)
	}
	checkLedger(t, db)
}

// An applier on older tables than it needs leaves every delivery pending.
func TestAnApplierOnOlderTablesFailsNoDelivery(t *testing.T) {
	t.Parallel()
	s, db := migrated(t, postgres.OldestSchema-1)
	app, batch := newApplier(s), newDeliveries(t, 20)
	if n := waiting(app.Handle(t.Context(), batch)); n != len(batch) {
		t.Errorf("%d of %d wait", n, len(batch))
	}
	if n := count(t, db, "SELECT count(*) FROM outcomes"); n != 0 {
		t.Errorf("%d outcomes", n)
	}
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(10 * time.Second); waiting(app.Handle(t.Context(), batch)) > 0; {
		if time.Now().After(until) {
			t.Fatal("they still wait")
		}
	}
}
