package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// everything is older than that.
var tomorrow = time.Now().Add(24 * time.Hour)

// inStream places items in one stream, each in a message, from that one on.
func inStream(first int, items ...applier.Item) []applier.Item {
	for i := range items {
		items[i].Delivery.Incarnation = "stream"
		items[i].Delivery.Position = at(uint64(first+i), 0)
	}
	return items
}

// removeAll removes logs by such chunks, and the rest by larger ones: that goes
// through all there is.
func removeAll(tb testing.TB, s *postgres.Store, old postgres.Old, chunk int) (all postgres.Removed) {
	tb.Helper()
	for _, remove := range []func() (postgres.Removed, error){
		func() (postgres.Removed, error) { return s.RemoveLogs(tb.Context(), old, chunk) },
		func() (postgres.Removed, error) { return s.RemoveOutcomes(tb.Context(), old, 50*chunk) },
		func() (postgres.Removed, error) { return s.RemoveFieldHistory(tb.Context(), old, 50*chunk) },
	} {
		for more := true; more; {
			r, err := remove()
			if err != nil {
				tb.Fatal(err)
			}
			all.Logs, all.Outcomes, all.FieldHistory = all.Logs+r.Logs, all.Outcomes+r.Outcomes, all.FieldHistory+r.FieldHistory
			more = r.More
		}
	}
	return all
}

// What was removed leaves a ledger that adds up, with the same balances and custom
// fields, to which deliveries and reverts go on adding.
func TestRemovalLeavesALedgerThatAddsUp(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	setField(t, s, "team", applier.Text)
	setField(t, s, "size", applier.Text)
	run := 0
	removed := postgres.Removed{}
	rapid.Check(t, func(rt *rapid.T) {
		run++
		emails := []string{fmt.Sprintf("a%d@x", run), fmt.Sprintf("b%d@x", run)}
		addUsers(t, s, emails...)
		var settled []applier.Item
		first := 1 // message of the stream
		for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
			items := inStream(len(settled)+1, drawItems(t, rt, emails, run)...)
			settle(t, s, items...)
			settled = append(settled, items...)
			var chosen []delivery.ID
			for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(settled)-1), 0, 3).Draw(rt, "reverted") {
				chosen = append(chosen, settled[i].Delivery.ID)
			}
			if _, err := s.Revert(t.Context(), chosen, byAda); err != nil {
				rt.Fatal(err)
			}
			before := []any{balances(t, s, emails[0]), fields(t, s, emails[0]), balances(t, s, emails[1]), fields(t, s, emails[1])}
			first = rapid.IntRange(first, len(settled)+1).Draw(rt, "first")
			old := postgres.Old{Before: tomorrow, Incarnation: "stream", First: uint64(first)}
			r := removeAll(t, s, old, rapid.IntRange(1, 9).Draw(rt, "chunk"))
			removed.Logs += r.Logs
			removed.Outcomes += r.Outcomes
			removed.FieldHistory += r.FieldHistory
			after := []any{balances(t, s, emails[0]), fields(t, s, emails[0]), balances(t, s, emails[1]), fields(t, s, emails[1])}
			if diff := cmp.Diff(before, after); diff != "" {
				rt.Fatal(diff)
			}
			for _, item := range settled {
				kept := count(t, db, `SELECT count(*) FROM outcomes WHERE delivery_id = $1`, item.Delivery.ID.String())
				if item.Delivery.Position.Sequence >= old.First && kept == 0 {
					rt.Fatalf("the outcome of a delivery in message %d is gone, and the stream begins with %d", item.Delivery.Position.Sequence, old.First)
				}
			}
			if found := auditLedger(t, s, idsOf(settled...)); len(found) > 0 {
				rt.Fatal(found)
			}
		}
	})
	if removed.Logs == 0 || removed.Outcomes == 0 || removed.FieldHistory == 0 {
		t.Errorf("removed %+v: the test shows nothing", removed)
	}
}

func TestRemovalTakesWhatIsOldAndGone(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	var items []applier.Item
	for range 4 {
		items = append(items, plan(t, "alice@example.com", change(webhook.Add, "coins", 5), change(webhook.Add, "xp", 1)))
	}
	items = append(items, plan(t, "alice@example.com"), plan(t, "nobody@example.com"))
	settle(t, s, inStream(1, items...)...)
	if r := removeAll(t, s, postgres.Old{Before: time.Now().Add(-time.Hour), Incarnation: "stream", First: 100}, 100); r != (postgres.Removed{}) {
		t.Errorf("removed %+v of what is not old", r)
	}
	if r := removeAll(t, s, postgres.Old{Before: tomorrow, Incarnation: "stream", First: 3}, 100); r.Logs != 4 || r.Outcomes != 2 {
		t.Errorf("removed %+v while the stream begins with the third", r)
	}
	if r := removeAll(t, s, postgres.Old{Before: tomorrow, Incarnation: "stream", First: 100}, 1); r.Logs != 4 || r.Outcomes != 3 {
		t.Errorf("removed %+v of the rest", r)
	}
	if n := count(t, db, `SELECT count(*) FROM outcomes WHERE status = 'failed'`); n != 1 {
		t.Errorf("%d failed are left with their dead letters, want 1", n)
	}
	if diff := cmp.Diff(map[string]int64{"coins": 20, "xp": 4}, balances(t, s, "alice@example.com")); diff != "" {
		t.Error(diff)
	}
	// The base is part of what has to add up.
	if _, err := db.ExecContext(t.Context(), `UPDATE log_bases SET balance = balance + 1 WHERE currency = 'xp'`); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"balance_changed -1 xp"}, auditLedger(t, s, nil)); diff != "" {
		t.Error(diff)
	}
}

// What was discarded goes when that is old, too: a replay of it may be on its way.
func TestRemovalTakesWhatWasDiscardedLongAgo(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	item := inStream(1, plan(t, "nobody@example.com"))[0]
	copy(item.Delivery.ID[:6], []byte{1, 0, 0, 0, 0, 0}) // the time of a UUIDv7: long ago
	settle(t, s, item)
	if _, err := db.ExecContext(t.Context(), `UPDATE outcomes SET finished_at = now() - interval '2 days'`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DiscardDeadLetters(t.Context(), idsOf(item), tomorrow, "ada", "a test"); err != nil {
		t.Fatal(err)
	}
	gone := postgres.Old{Before: time.Now().Add(-24 * time.Hour), Incarnation: "stream", First: 100}
	if r := removeAll(t, s, gone, 10); r != (postgres.Removed{}) {
		t.Errorf("removed %+v of what was discarded just now", r)
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE discards SET at = now() - interval '2 days'`); err != nil {
		t.Fatal(err)
	}
	if r := removeAll(t, s, gone, 10); r.Outcomes != 1 {
		t.Errorf("removed %+v of what was discarded long ago", r)
	}
}

// A dead letter that was exported, has succeeded and is forgotten since does not come
// back to be executed again.
func TestWhatWasRemovedIsNotImportedAnew(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	old := newLetter()
	if results, err := s.ImportDeadLetters(t.Context(), []postgres.FullDeadLetter{old}); err != nil || results[0] != postgres.LetterAdded {
		t.Fatal(results, err)
	}
	addUsers(t, s, "a@x")
	settle(t, s, inStream(1, plan(t, "a@x", change(webhook.Add, "coins", 5)))...)
	before := now(t, s).Add(time.Hour)
	if r := removeAll(t, s, postgres.Old{Before: before, Incarnation: "stream", First: 2}, 10); r.Outcomes != 1 {
		t.Fatalf("%+v", r)
	}
	forgotten, young := newLetter(), newLetter()
	young.FailedAt = before.Add(time.Second)
	results, err := s.ImportDeadLetters(t.Context(), []postgres.FullDeadLetter{old, forgotten, young})
	if diff := cmp.Diff([]postgres.LetterImport{postgres.LetterKnown, postgres.LetterForgotten, postgres.LetterAdded}, results); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// A replay that the stream still has keeps its delivery's outcome.
func TestRemovalKeepsWhatAReplayInTheStreamIsAbout(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	late := inStream(1, plan(t, "late@example.com", change(webhook.Add, "coins", 5)))[0]
	settle(t, s, late)
	addUsers(t, s, "late@example.com")
	again := late
	d := *late.Delivery
	again.Delivery = &d
	d.Replay, d.Position = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual, RequestedBy: "ada", RequestedAt: time.Now()}, at(50, 0)
	settle(t, s, again)
	if n := count(t, db, `SELECT count(*) FROM outcomes WHERE status = 'success'`); n != 1 {
		t.Fatalf("%d are replayed with success", n)
	}
	if r := removeAll(t, s, postgres.Old{Before: tomorrow, Incarnation: "stream", First: 50}, 10); r != (postgres.Removed{}) {
		t.Errorf("removed %+v while the replay is in the stream", r)
	}
	if r := removeAll(t, s, postgres.Old{Before: tomorrow, Incarnation: "stream", First: 51}, 10); r.Logs != 1 || r.Outcomes != 1 {
		t.Errorf("removed %+v of a replay that is gone", r)
	}
}

// A parked replay keeps its delivery's outcome.
func TestRemovalKeepsWhatAParkedReplayIsAbout(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	item := inStream(1, plan(t, "alice@example.com", change(webhook.Add, "coins", 5)))[0]
	settle(t, s, item)
	park(t, s, applier.Paused, rerun(item))
	gone := postgres.Old{Before: tomorrow, Incarnation: "stream", First: 51}
	if r := removeAll(t, s, gone, 10); r != (postgres.Removed{}) {
		t.Errorf("removed %+v while a replay waits", r)
	}
	execute(t, db, "DELETE FROM parked")
	if r := removeAll(t, s, gone, 10); r.Logs != 1 || r.Outcomes != 1 {
		t.Errorf("removed %+v of a replay that is gone", r)
	}
}

// A value stays for as long as one that came after it can be reverted.
func TestTheHistoryKeepsWhatAFieldCanGoBackTo(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	revision := setField(t, s, "team", applier.Text)
	var items []applier.Item
	for n, team := range []string{"red", "blue", "green"} {
		items = append(items, setting(t, revision, team, "one", at(uint64(n+1), 0)))
	}
	settle(t, s, items...)
	// What the stream begins with keeps its outcome, and can be reverted.
	if r := removeAll(t, s, postgres.Old{Before: tomorrow, Incarnation: "one", First: 2}, 10); r.Outcomes != 1 || r.FieldHistory != 0 {
		t.Errorf("removed %+v", r)
	}
	reverting(t, s, byAda, items[1], items[2])
	wantTeam(t, s, "red")
	removeAll(t, s, postgres.Old{Before: tomorrow, Incarnation: "one", First: 100}, 10)
	wantTeam(t, s, "red")
}

// What nothing can go back to any more is removed.
func TestTheHistoryLosesWhatNoFieldCanGoBackTo(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	revision := setField(t, s, "team", applier.Text)
	for n, team := range []string{"red", "blue", "green"} {
		settle(t, s, setting(t, revision, team, "one", at(uint64(n+1), 0)))
	}
	// The green one has its outcome: it may go back to blue, and to nothing else.
	if r := removeAll(t, s, postgres.Old{Before: tomorrow, Incarnation: "one", First: 3}, 10); r.Outcomes != 2 || r.FieldHistory != 1 {
		t.Errorf("removed %+v", r)
	}
	if n := count(t, db, "SELECT count(*) FROM field_history WHERE value IN ('blue', 'green')"); n != 2 {
		t.Errorf("%d of two values are left", n)
	}
}
