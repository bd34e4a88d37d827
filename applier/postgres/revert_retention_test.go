package postgres_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// holding makes others wait until it is let go of.
func holding(tb testing.TB, db *sql.DB, statement string) (letGo func()) {
	tb.Helper()
	tx, err := db.BeginTx(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := tx.ExecContext(tb.Context(), statement); err != nil {
		tb.Fatal(err)
	}
	return func() { tx.Rollback() } // it wrote nothing
}

// awaitWaiting waits until so many wait for locks, or the last of them is done
// without.
func awaitWaiting(tb testing.TB, db *sql.DB, n int, done <-chan struct{}) {
	tb.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for count(tb, db, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") < n {
		select {
		case <-done:
			return
		case <-time.After(2 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			tb.Fatalf("fewer than %d wait for locks", n)
		}
	}
}

// started runs f beside the test.
func started(f func()) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// paint is a delivery of five coins and a team, in the first message.
func paint(tb testing.TB, s *postgres.Store) applier.Item {
	tb.Helper()
	addUsers(tb, s, "alice@example.com")
	item := setting(tb, setField(tb, s, "team", applier.Text), "red", "one", at(1, 0))
	item.Plan.Changes = []applier.Change{change(webhook.Add, "coins", 5)}
	settle(tb, s, item)
	return item
}

func TestARevertMeetsTheRemovalOfWhatItReverts(t *testing.T) {
	t.Parallel()
	gone := postgres.Old{Before: tomorrow, Incarnation: "one", First: 100}

	t.Run("the removal waits for what is being reverted", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		item := paint(t, s)
		letGo := holding(t, db, "LOCK TABLE balances IN ACCESS EXCLUSIVE MODE")
		var reversals []ledger.Reversal
		var removed postgres.Removed
		var revertErr, removeErr error
		reverted := started(func() { reversals, revertErr = s.Revert(t.Context(), idsOf(item), byAda) })
		awaitWaiting(t, db, 1, reverted)
		removal := started(func() { removed, removeErr = s.RemoveLogs(t.Context(), gone, 10) })
		awaitWaiting(t, db, 2, removal)
		letGo()
		<-reverted
		<-removal
		if revertErr != nil || removeErr != nil {
			t.Fatal(revertErr, removeErr)
		}
		if diff := cmp.Diff([]ledger.RevertState{ledger.Reverted}, statesOf(reversals)); diff != "" {
			t.Error(diff)
		}
		if removed.Logs != 1 || removed.Outcomes != 1 {
			t.Errorf("removed %+v", removed)
		}
		if diff := cmp.Diff(map[string]int64{"coins": 0}, balances(t, s, "alice@example.com")); diff != "" {
			t.Error(diff)
		}
		wantTeam(t, s, "none")
		if found := auditLedger(t, s, idsOf(item)); len(found) > 0 {
			t.Error(found)
		}
	})

	t.Run("what is being removed is not reverted", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		item := paint(t, s)
		if _, err := db.ExecContext(t.Context(), `
			CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
			CREATE TRIGGER wait AFTER DELETE ON outcomes FOR EACH ROW EXECUTE FUNCTION wait()`); err != nil {
			t.Fatal(err)
		}
		letGo := holding(t, db, "SELECT pg_advisory_xact_lock(1)")
		var reversals []ledger.Reversal
		var revertErr, removeErr error
		removal := started(func() { _, removeErr = s.RemoveLogs(t.Context(), gone, 10) })
		awaitWaiting(t, db, 1, removal)
		reverted := started(func() { reversals, revertErr = s.Revert(t.Context(), idsOf(item), byAda) })
		awaitWaiting(t, db, 2, reverted)
		letGo()
		<-reverted
		<-removal
		if revertErr != nil || removeErr != nil {
			t.Fatal(revertErr, removeErr)
		}
		want := []ledger.Reversal{{ID: item.Delivery.ID, State: ledger.NotApplied}}
		if diff := cmp.Diff(want, reversals); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(map[string]int64{"coins": 5}, balances(t, s, "alice@example.com")); diff != "" {
			t.Error(diff)
		}
		wantTeam(t, s, "red")
		if n := count(t, db, "SELECT count(*) FROM reverts"); n != 0 {
			t.Errorf("%d rows of reverts", n)
		}
	})
}

// Reverts and removals go over the same deliveries in whatever order: nobody gets
// into the way of others, and each delivery is reverted whole or not at all.
func TestRevertsBesideRemoval(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	emails := []string{"a@x", "b@x", "c@x"}
	addUsers(t, s, emails...)
	revision := setField(t, s, "team", applier.Text)
	var items []applier.Item
	for n := range 120 {
		item := plan(t, emails[n%3], change(webhook.Add, "coins", 1), change(webhook.Add, "xp", 1))
		item.Plan.Fields = []applier.FieldChange{{Field: "team", Value: fmt.Sprint(n), Revision: revision}}
		items = append(items, item)
	}
	settle(t, s, inStream(1, items...)...)
	var mu sync.Mutex
	left := map[string]int64{"a@x": 40, "b@x": 40, "c@x": 40}
	owner := map[delivery.ID]string{}
	for n, item := range items {
		owner[item.Delivery.ID] = emails[n%3]
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			ids := idsOf(items...)
			rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			for ; len(ids) > 0; ids = ids[min(len(ids), 8):] {
				reversals, err := s.Revert(t.Context(), ids[:min(len(ids), 8)], byAda)
				if err != nil {
					t.Errorf("revert: %v", err)
				}
				mu.Lock()
				for _, r := range reversals {
					if r.State == ledger.Reverted {
						left[owner[r.ID]]--
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Go(func() { removeAll(t, s, postgres.Old{Before: tomorrow, Incarnation: "stream", First: 1000}, 10) })
	wg.Wait()
	for _, email := range emails {
		if diff := cmp.Diff(map[string]int64{"coins": left[email], "xp": left[email]}, balances(t, s, email)); diff != "" {
			t.Errorf("%s: %s", email, diff)
		}
	}
	if found := auditLedger(t, s, idsOf(items...)); len(found) > 0 {
		t.Error(found)
	}
}

// An outcome counts its entries: with fewer of them a delivery would be half
// reverted for good.
func TestARevertMissesNoEntry(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	item := paint(t, s)
	other := plan(t, "alice@example.com", change(webhook.Add, "coins", 1))
	settle(t, s, other)
	if _, err := db.ExecContext(t.Context(), `DELETE FROM gamification_logs WHERE delivery_id = $1`, item.Delivery.ID.String()); err != nil {
		t.Fatal(err)
	}
	if reversals, err := s.Revert(t.Context(), idsOf(other, item), byAda); err == nil {
		t.Errorf("reverted %v", statesOf(reversals))
	}
	if diff := cmp.Diff(map[string]int64{"coins": 6}, balances(t, s, "alice@example.com")); diff != "" {
		t.Error(diff)
	}
	wantTeam(t, s, "red")
	if n := count(t, db, "SELECT count(*) FROM reverts"); n != 0 {
		t.Errorf("%d rows of reverts", n)
	}
}
