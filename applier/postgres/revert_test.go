package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// reverting reverts deliveries in one batch and returns what became of each.
func reverting(tb testing.TB, s *postgres.Store, opts postgres.RevertOptions, items ...applier.Item) []ledger.RevertState {
	tb.Helper()
	reversals, err := s.Revert(tb.Context(), idsOf(items...), opts)
	if err != nil {
		tb.Fatal(err)
	}
	return statesOf(reversals)
}

func statesOf(reversals []ledger.Reversal) []ledger.RevertState {
	states := make([]ledger.RevertState, len(reversals))
	for i, r := range reversals {
		states[i] = r.State
	}
	return states
}

var byAda = postgres.RevertOptions{By: "ada", Note: "wrong mapping"}

func TestRevert(t *testing.T) {
	t.Parallel()
	add := func(n int64) applier.Change { return change(webhook.Add, "coins", n) }

	t.Run("takes back all that a delivery did, once", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, "alice@example.com")
		other := plan(t, "alice@example.com", add(7))
		item := plan(t, "alice@example.com", add(50), change(webhook.Subtract, "coins", 8), change(webhook.Add, "xp", 5))
		settle(t, s, item, other)
		for _, want := range []ledger.RevertState{ledger.Reverted, ledger.AlreadyReverted} {
			if diff := cmp.Diff([]ledger.RevertState{want}, reverting(t, s, byAda, item)); diff != "" {
				t.Fatal(diff)
			}
			if diff := cmp.Diff(map[string]int64{"coins": 7, "xp": 0}, balances(t, s, "alice@example.com")); diff != "" {
				t.Error(diff)
			}
		}
		logs, err := s.ListLogs(t.Context(), postgres.LogFilter{Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		type line struct {
			Currency, Operator, Action, Amount, Balance string
		}
		want := []line{
			{"coins", "subtract", "Revert: Shop", "50", "7"}, {"xp", "subtract", "Revert: Shop", "5", "0"}, {"coins", "add", "Revert: Shop", "8", "57"},
		}
		var got []line
		for _, l := range logs {
			got = append(got, line{l.Currency, l.Operator, l.Action, l.Amount, l.Balance})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		o, err := s.FindOutcome(t.Context(), item.Delivery.ID)
		if err != nil || o.Reverted == nil || o.Reverted.By != "ada" || *o.Reverted.Note != "wrong mapping" || len(o.Changes) != 3 || *o.Outcome != delivery.Applied {
			t.Errorf("the outcome is %+v (%v)", o, err)
		}
		checkLedger(t, db)
	})

	t.Run("leaves out what a limit stops, and does the others", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, "alice@example.com", "bob@example.com")
		items := []applier.Item{plan(t, "alice@example.com", add(50)), plan(t, "bob@example.com", add(3)), plan(t, "alice@example.com", add(10))}
		settle(t, s, append(items, plan(t, "alice@example.com", change(webhook.Subtract, "coins", 20)))...)
		reversals, err := s.Revert(t.Context(), idsOf(items...), byAda)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]ledger.RevertState{ledger.LeftOut, ledger.Reverted, ledger.Reverted}, statesOf(reversals)); diff != "" {
			t.Error(diff)
		}
		if f := reversals[0].Failure; f == nil || f.Reason != delivery.InsufficientBalance || f.Detail != "The balance would go from 40 to -10 coins: it may not go below 0." {
			t.Errorf("left out for %+v", f)
		}
		opts := byAda
		opts.AllowNegative = true
		if diff := cmp.Diff([]ledger.RevertState{ledger.Reverted}, reverting(t, s, opts, items[0])); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]int64{"coins": -20}, balances(t, s, "alice@example.com")); diff != "" {
			t.Error(diff)
		}
		checkLedger(t, db)
	})

	t.Run("has nothing to do with what is not applied", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, "alice@example.com")
		skipped, failing, empty := plan(t, "alice@example.com"), plan(t, "nobody@example.com", add(1)), plan(t, "alice@example.com")
		skipped.Plan.Skip = true
		settle(t, s, skipped, failing, empty)
		reversals, err := s.Revert(t.Context(), idsOf(skipped, failing, plan(t, "alice@example.com"), empty, empty), byAda)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range reversals {
			got = append(got, string(r.State)+"/"+r.Outcome)
		}
		want := []string{"not applied/skipped", "not applied/failed", "not applied/", "reverted/", "already reverted/"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if n := count(t, db, "SELECT count(*) FROM reverts"); n != 1 {
			t.Errorf("%d rows of reverts", n)
		}
		checkLedger(t, db)
	})

	t.Run("is all or nothing when the database refuses", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		addUsers(t, s, "alice@example.com")
		item := plan(t, "alice@example.com", add(13), add(5))
		settle(t, s, item)
		if _, err := db.ExecContext(t.Context(), `
			CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON gamification_logs FOR EACH ROW WHEN (NEW.amount = 13) EXECUTE FUNCTION refuse()`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Revert(t.Context(), idsOf(item), byAda); err == nil {
			t.Error("no error")
		}
		if diff := cmp.Diff(map[string]int64{"coins": 18}, balances(t, s, "alice@example.com")); diff != "" {
			t.Error(diff)
		}
		if n := count(t, db, "SELECT count(*) FROM reverts"); n != 0 {
			t.Errorf("%d rows of reverts", n)
		}
	})
}
