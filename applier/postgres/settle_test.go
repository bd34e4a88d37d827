package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const community = "default"

var shop = &webhook.Webhook{Record: webhook.Record{
	ID: "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", Version: 3,
	Definition: webhook.Definition{Name: "Shop", Community: community, User: &webhook.UserRef{By: webhook.ByEmail, Path: "email"}},
}}

func newDelivery(tb testing.TB) *delivery.Delivery {
	tb.Helper()
	return &delivery.Delivery{
		ID: delivery.NewID(), WebhookID: shop.ID, ReceivedAt: time.Now().UTC().Truncate(time.Microsecond),
		Body: []byte("{\"a\":\"\\u0000\"}"), Headers: []delivery.Header{{Name: "X-Event", Value: "a\x00b"}}, Method: "PUT", Query: "a=\xff\x00",
		Position: delivery.Position{Sequence: 7, Index: 2}, Attempt: 1,
	}
}

func change(op webhook.Operator, currency string, amount int64) applier.Change {
	return applier.Change{Currency: currency, Operator: op, Amount: amount}
}

func plan(tb testing.TB, email string, changes ...applier.Change) applier.Item {
	tb.Helper()
	return applier.Item{
		Delivery: newDelivery(tb), Webhook: shop,
		Plan: applier.Plan{User: applier.UserRef{By: webhook.ByEmail, Value: email}, Changes: changes},
	}
}

func addUsers(tb testing.TB, s *postgres.Store, emails ...string) {
	tb.Helper()
	var users []postgres.NewUser
	for _, e := range emails {
		users = append(users, postgres.NewUser{Email: e})
	}
	if _, err := s.ImportUsers(tb.Context(), community, users); err != nil {
		tb.Fatal(err)
	}
}

func settle(tb testing.TB, s *postgres.Store, items ...applier.Item) []applier.Settlement {
	tb.Helper()
	settlements, err := s.Settle(tb.Context(), items)
	if err != nil {
		tb.Fatal(err)
	}
	return settlements
}

func balances(tb testing.TB, s *postgres.Store, email string) map[string]int64 {
	tb.Helper()
	u, err := s.FindUser(tb.Context(), community, email)
	if err != nil {
		tb.Fatal(err)
	}
	return u.Balances
}

func count(tb testing.TB, db *sql.DB, query string, args ...any) (n int) {
	tb.Helper()
	if err := db.QueryRowContext(tb.Context(), query, args...).Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

var applied = applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied}

func TestSettle(t *testing.T) {
	t.Parallel()

	t.Run("changes several currencies of one user", func(t *testing.T) {
		t.Parallel()
		s, _ := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, "alice@example.com")
		item := plan(t, "Alice@Example.COM",
			change(webhook.Add, "coins", 50), change(webhook.Add, "xp", 5), change(webhook.Subtract, "coins", 8))
		if diff := cmp.Diff([]applier.Settlement{applied}, settle(t, s, item)); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(map[string]int64{"coins": 42, "xp": 5}, balances(t, s, "alice@example.com")); diff != "" {
			t.Error(diff)
		}
		logs, err := s.ListLogs(t.Context(), postgres.LogFilter{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range logs {
			got = append(got, fmt.Sprintf("%s %s %s -> %s by %s", l.Operator, l.Currency, l.Amount, l.Balance, l.Action))
		}
		want := []string{"subtract coins 8 -> 42 by Shop", "add xp 5 -> 5 by Shop", "add coins 50 -> 50 by Shop"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("takes effect once however often it comes", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, "alice@example.com")
		item := plan(t, "alice@example.com", change(webhook.Add, "coins", 50))
		settle(t, s, item, item)
		again := settle(t, s, item)
		if !again[0].Known || again[0].Status != delivery.Success {
			t.Errorf("settled again as %+v", again[0])
		}
		if got := balances(t, s, "alice@example.com")["coins"]; got != 50 {
			t.Errorf("balance %d, want 50", got)
		}
		if got := count(t, db, "SELECT count(*) FROM outcomes"); got != 1 {
			t.Errorf("%d outcomes, want 1", got)
		}
	})

	t.Run("subtract below minimum fails whole", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, "alice@example.com")
		item := plan(t, "alice@example.com", change(webhook.Add, "xp", 10), change(webhook.Subtract, "coins", 1))
		got := settle(t, s, item)[0]
		if got.Status != delivery.Failed || got.Failure.Reason != delivery.InsufficientBalance {
			t.Fatalf("settled as %+v", got)
		}
		if diff := cmp.Diff(map[string]int64{}, balances(t, s, "alice@example.com")); diff != "" {
			t.Error(diff)
		}
		if n := count(t, db, "SELECT count(*) FROM gamification_logs"); n != 0 {
			t.Errorf("%d logs of a failed delivery", n)
		}
		bodies, err := s.DeadLetterBodies(t.Context(), []delivery.ID{item.Delivery.ID})
		kept, ok := bodies[item.Delivery.ID]
		if err != nil || !ok {
			t.Fatalf("no dead letter: %v", err)
		}
		if string(kept.Payload) != string(item.Delivery.Body) {
			t.Errorf("the dead letter holds %q", kept.Payload)
		}
		if diff := cmp.Diff(item.Delivery.Headers, kept.Headers); diff != "" {
			t.Error(diff)
		}
		outcome, err := s.FindOutcome(t.Context(), item.Delivery.ID)
		if err != nil {
			t.Fatal(err)
		}
		if outcome.User == nil || outcome.User.Email != "alice@example.com" || outcome.Version != 3 ||
			outcome.Position != item.Delivery.Position || !outcome.ReceivedAt.Equal(item.Delivery.ReceivedAt) {
			t.Errorf("outcome %+v", outcome)
		}
	})

	t.Run("a failure in a batch does not touch its neighbours", func(t *testing.T) {
		t.Parallel()
		s, _ := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, "alice@example.com")
		got := settle(t, s,
			plan(t, "alice@example.com", change(webhook.Add, "coins", 5)),
			plan(t, "nobody@example.com", change(webhook.Add, "coins", 5)),
			plan(t, "alice@example.com", change(webhook.Subtract, "coins", 6)),
			plan(t, "alice@example.com", change(webhook.Subtract, "coins", 5)),
			applier.Item{Delivery: newDelivery(t), Webhook: shop, Plan: applier.Plan{Skip: true}},
			applier.Item{Delivery: newDelivery(t), Failure: &delivery.Failure{Reason: delivery.WebhookDeleted, Detail: "gone \x00"}},
		)
		var kinds []string
		for _, g := range got {
			kind := string(g.Outcome)
			if g.Failure != nil {
				kind = string(g.Failure.Reason)
			}
			kinds = append(kinds, kind)
		}
		want := []string{"applied", "user_not_found", "insufficient_balance", "applied", "skipped", "webhook_deleted"}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Error(diff)
		}
		if got := balances(t, s, "alice@example.com")["coins"]; got != 0 {
			t.Errorf("balance %d, want 0", got)
		}
	})

	t.Run("users of other communities are others", func(t *testing.T) {
		t.Parallel()
		s, _ := postgrestest.Open(t, postgres.Options{})
		if _, err := s.ImportUsers(t.Context(), "elsewhere", []postgres.NewUser{{Email: "alice@example.com"}}); err != nil {
			t.Fatal(err)
		}
		got := settle(t, s, plan(t, "alice@example.com", change(webhook.Add, "coins", 5)))[0]
		if got.Failure == nil || got.Failure.Reason != delivery.UserNotFound {
			t.Errorf("settled as %+v", got)
		}
	})
}

func TestSettleUnderContention(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	emails := []string{"a@x", "b@x", "c@x", "d@x", "e@x", "f@x"}
	addUsers(t, s, emails...)
	var items []applier.Item
	for range 400 {
		items = append(items, plan(t, emails[rand.IntN(len(emails))], change(webhook.Add, "coins", 3), change(webhook.Subtract, "coins", 2)))
	}
	for range 50 { // without a user nothing serializes them but their ids
		items = append(items, plan(t, "nobody@x", change(webhook.Add, "coins", 1)))
	}
	// Four appliers are each handed everything, in batches of another order.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			mine := append([]applier.Item{}, items...)
			rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			for len(mine) > 0 {
				n := min(len(mine), 1+rand.IntN(40))
				settleAll(t, s, mine[:n]...)
				mine = mine[n:]
			}
		})
	}
	wg.Wait()
	if got := count(t, db, "SELECT sum(amount) FROM balances"); got != 400 {
		t.Errorf("balances add up to %d, want 400", got)
	}
	if got := count(t, db, "SELECT count(*) FROM outcomes"); got != 450 {
		t.Errorf("%d outcomes, want 450", got)
	}
	checkLedger(t, db)
}

func TestSettleSaysWhoIsToBlame(t *testing.T) {
	t.Parallel()

	t.Run("values that the database refuses", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, "alice@example.com")
		// A trigger stands for a refusal that nobody foresaw.
		if _, err := db.ExecContext(t.Context(), `
			CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON gamification_logs FOR EACH ROW WHEN (NEW.amount = 13) EXECUTE FUNCTION refuse()`); err != nil {
			t.Fatal(err)
		}
		_, err := s.Settle(t.Context(), []applier.Item{plan(t, "alice@example.com", change(webhook.Add, "coins", 13))})
		var data *applier.DataError
		if !errors.As(err, &data) {
			t.Fatalf("error %v, want a DataError", err)
		}
	})

	t.Run("a database that is away", func(t *testing.T) {
		t.Parallel()
		s, err := postgres.Open("postgres://nobody@127.0.0.1:1/nothing?sslmode=disable", postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Settle(t.Context(), []applier.Item{plan(t, "alice@example.com")})
		var data *applier.DataError
		if err == nil || errors.As(err, &data) {
			t.Fatalf("error %v, want one that is not a DataError", err)
		}
	})

	t.Run("rows that contradict each other", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		item := plan(t, "nobody@example.com")
		if _, err := db.ExecContext(t.Context(), `INSERT INTO dead_letters (delivery_id, headers, payload, failed_at) VALUES ($1, '[]', '', now())`, item.Delivery.ID.String()); err != nil {
			t.Fatal(err)
		}
		_, err := s.Settle(t.Context(), []applier.Item{item})
		var data *applier.DataError
		if !errors.As(err, &data) {
			t.Fatalf("error %v, want a DataError", err)
		}
	})
}

func TestSettleSurvivesLostConnections(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { // cuts every connection of the store, again and again
		for ctx.Err() == nil {
			_, _ = db.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		}
	})
	var failed, deliveries int
	deadline := time.Now().Add(30 * time.Second)
	for failed < 10 && time.Now().Before(deadline) { // harm enough
		var batch []applier.Item
		for range 10 {
			batch = append(batch, plan(t, "alice@example.com", change(webhook.Add, "coins", 1)))
		}
		for {
			_, err := s.Settle(t.Context(), batch)
			if err == nil {
				break
			}
			var data *applier.DataError
			if errors.As(err, &data) {
				t.Fatalf("a lost connection is blamed on the values: %v", err)
			}
			if failed++; time.Now().After(deadline) {
				t.Fatal(err)
			}
			if failed == 10 {
				stop()
			}
		}
		deliveries += len(batch)
	}
	stop()
	wg.Wait()
	if failed == 0 {
		t.Error("no batch ever failed: the test cut nothing")
	}
	if got := balances(t, s, "alice@example.com")["coins"]; got != int64(deliveries) {
		t.Errorf("balance %d, want %d", got, deliveries)
	}
	checkLedger(t, db)
}

// TestSettleLooksUpByIndex: a statement prepared while the tables are empty must
// not scan them when they are large.
func TestSettleLooksUpByIndex(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true, MaxConns: 1})
	addUsers(t, s, "alice@example.com")
	for range 10 { // past the point where a statement's plan is kept
		settle(t, s, plan(t, "alice@example.com", change(webhook.Add, "coins", 1)))
	}
	const rows = 20_000
	for _, fill := range []string{
		`INSERT INTO outcomes SELECT gen_random_uuid(), '', '', '', 0, 'success', 'applied', NULL, NULL, NULL, NULL, '', 1, 0, 1, now(), now()
			FROM generate_series(1, $1)`,
		`INSERT INTO users SELECT gen_random_uuid(), 'default', n || '@x', n || '@x', NULL, NULL FROM generate_series(1, $1) n`,
	} {
		if _, err := db.ExecContext(t.Context(), fill, rows); err != nil {
			t.Fatal(err)
		}
	}
	scanned := func() int {
		if _, err := db.ExecContext(t.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
			t.Fatal(err)
		}
		return count(t, db, "SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE relname IN ('outcomes', 'users', 'balances')")
	}
	before := scanned()
	settle(t, s, plan(t, "alice@example.com", change(webhook.Add, "coins", 1)))
	if err := s.Close(); err != nil { // a backend reports what it did at the latest when it ends
		t.Fatal(err)
	}
	awaitAlone(t, db)
	after := scanned()
	if after-before >= rows {
		t.Errorf("settling one delivery read %d rows from end to end", after-before)
	}
}
