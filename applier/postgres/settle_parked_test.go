package postgres_test

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var parked = applier.Settlement{Parked: true}

const lockAlice = "SELECT FROM users WHERE email_key = 'alice@example.com' FOR UPDATE"

// coins is a delivery that gives a user coins, at a place in the stream.
func coins(tb testing.TB, email string, n int64, sequence uint64) applier.Item {
	tb.Helper()
	item := plan(tb, email, change(webhook.Add, "coins", n))
	item.Delivery.Incarnation, item.Delivery.Position, item.Delivery.Slot = "one", at(sequence, 0), 1
	return item
}

func fromItsRow(item applier.Item) applier.Item {
	item.WasParked = true
	return item
}

func wantSettled(tb testing.TB, got []applier.Settlement, want ...applier.Settlement) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("settled (-want +got):\n%s", diff)
	}
}

// parkedRows are the rows as "reason, sequence", with the user of those that have one.
func parkedRows(tb testing.TB, db *sql.DB) (rows []string) {
	tb.Helper()
	result, err := db.QueryContext(tb.Context(), `SELECT reason || ' ' || stream_sequence || coalesce(' ' || u.email, '')
		FROM parked LEFT JOIN users u ON u.id = user_id ORDER BY stream_epoch, stream_sequence, stream_index`)
	if err != nil {
		tb.Fatal(err)
	}
	defer result.Close()
	for result.Next() {
		var row string
		if err := result.Scan(&row); err != nil {
			tb.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func wantRows(tb testing.TB, db *sql.DB, want ...string) {
	tb.Helper()
	if diff := cmp.Diff(want, parkedRows(tb, db), cmpopts.EquateEmpty()); diff != "" {
		tb.Errorf("parked rows (-want +got):\n%s", diff)
	}
}

// One row that another session has locked stops the deliveries of that user. All others
// of the batch are settled by that very call.
func TestALockedUserStopsNobody(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com", "bob@example.com")
	if _, err := s.ImportUsers(t.Context(), "other", []postgres.NewUser{{Email: "alice@example.com"}}); err != nil {
		t.Fatal(err)
	}
	key := coins(t, "alice@example.com", 1, 1)
	withKey(&key, "key", "body")
	settle(t, s, key)
	letGo := holding(t, db, "SELECT FROM users WHERE email_key = 'alice@example.com' AND community = 'default' FOR UPDATE")

	again, skipped, broken := coins(t, "alice@example.com", 1, 4), coins(t, "alice@example.com", 1, 5), coins(t, "alice@example.com", 1, 6)
	withKey(&again, "key", "body")
	skipped.Plan = applier.Plan{Skip: true}
	broken.Failure = &delivery.Failure{Reason: delivery.MissingField}
	first, second := coins(t, "alice@example.com", 10, 2), coins(t, "Alice@example.com", 100, 3)
	got := settle(t, s, first, second, again, skipped, broken,
		coins(t, "bob@example.com", 1, 7), inOther(t, "other", "alice@example.com"), coins(t, "nobody@example.com", 1, 8))
	if kinds := kindsOf(got); !cmp.Equal(kinds, []string{"parked", "parked", "duplicate", "skipped", "missing_field", "applied", "applied", "user_not_found"}) {
		t.Errorf("settled as %q", kinds)
	}
	wantRows(t, db, "user_locked 2 alice@example.com", "user_locked 3 alice@example.com")
	// As often as they are tried while the row is locked, or redelivered.
	wantSettled(t, settle(t, s, fromItsRow(first), fromItsRow(second), first), parked, parked, parked)
	wantParkedOfUsers(t, s, *first.Delivery)
	letGo()
	wantParkedOfUsers(t, s, *first.Delivery, *second.Delivery)
	wantSettled(t, settle(t, s, fromItsRow(first), fromItsRow(second)), applied, applied)
	if got := balances(t, s, "alice@example.com")["coins"]; got != 111 {
		t.Errorf("%d coins", got)
	}
	wantRows(t, db)
	checkLedger(t, db)
}

func kindsOf(all []applier.Settlement) (kinds []string) {
	for _, s := range all {
		if s.Parked {
			kinds = append(kinds, "parked")
			continue
		}
		kinds = append(kinds, kind(s))
	}
	return kinds
}

// A user's later deliveries wait behind the parked ones, also when the row is free.
func TestAUsersDeliveriesStayInOrder(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	letGo := holding(t, db, lockAlice)
	items := make([]applier.Item, 8)
	for i := range items {
		items[i] = coins(t, "alice@example.com", 1, uint64(i))
	}
	settle(t, s, items[0], items[1])
	letGo()
	wantSettled(t, settle(t, s, items[2]), parked)
	wantSettled(t, settle(t, s, fromItsRow(items[1])), parked)                                // before the first
	wantSettled(t, settle(t, s, items[3], fromItsRow(items[0])), parked, applied)             // the live one is too early
	wantSettled(t, settle(t, s, fromItsRow(items[1]), items[4]), applied, parked)             // 2 and 3 wait yet
	wantSettled(t, settle(t, s, fromItsRow(items[3]), fromItsRow(items[2])), parked, applied) // the wrong way round
	wantSettled(t, settle(t, s, fromItsRow(items[3]), fromItsRow(items[4]), items[5], items[6]), applied, applied, applied, applied)
	wantSettled(t, settle(t, s, items[7]), applied)
	wantRows(t, db)
	checkLedger(t, db)
}

// An admin who changes a community's configuration stops that community only.
func TestAChangeOfACommunityStopsNoOther(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	if _, err := s.ImportUsers(t.Context(), "other", []postgres.NewUser{{Email: "bob@example.com"}}); err != nil {
		t.Fatal(err)
	}
	letGo := holding(t, db, "SELECT pg_advisory_xact_lock(1668245870, hashtext('default'))")
	alice, bob := coins(t, "alice@example.com", 1, 1), inOther(t, "other", "bob@example.com")
	wantSettled(t, settle(t, s, alice, bob), parked, applied)
	letGo()
	wantParkedOfUsers(t, s, *alice.Delivery)
	wantSettled(t, settle(t, s, fromItsRow(alice)), applied)
	checkLedger(t, db)
}

// A lock that lasts a moment parks nothing. After one that lasted, nothing waits for
// locks for a while.
func TestALockThatLastsAMomentParksNothing(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	s.SetPatience(time.Minute)
	letGo := holding(t, db, lockAlice)
	done := started(func() { wantSettled(t, settle(t, s, coins(t, "alice@example.com", 1, 1)), applied) })
	eventually(t, func() error { return hasTried(t, db) })
	letGo()
	<-done

	const patience = 2 * time.Second
	s.SetPatience(patience)
	defer holding(t, db, lockAlice)()
	begun := time.Now()
	wantSettled(t, settle(t, s, coins(t, "alice@example.com", 1, 2)), parked)
	if waited := time.Since(begun); waited < patience {
		t.Errorf("it waited for %v", waited)
	}
	begun = time.Now()
	wantSettled(t, settle(t, s, coins(t, "alice@example.com", 1, 3)), parked)
	if waited := time.Since(begun); waited >= patience {
		t.Errorf("the next one waited for %v", waited)
	}
}

// hasTried returns an error until a batch has looked for locks that it did not get.
func hasTried(tb testing.TB, db *sql.DB) error {
	tb.Helper()
	if count(tb, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
		AND state = 'idle in transaction' AND query LIKE '-- Locks users.%'`) == 0 {
		return errors.New("no batch has looked for the lock")
	}
	return nil
}

// A row that the webhook has parked waits for its user next, and the other way round.
func TestWhatARowWaitsForChanges(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	item := coins(t, "alice@example.com", 1, 1)
	park(t, s, applier.Paused, item)
	park(t, s, applier.KeyUnavailable, item)
	wantRows(t, db, "key_unavailable 1")
	letGo := holding(t, db, lockAlice)
	wantSettled(t, settle(t, s, fromItsRow(item)), parked)
	wantRows(t, db, "user_locked 1 alice@example.com")
	park(t, s, applier.Paused, fromItsRow(item))
	wantRows(t, db, "paused 1")
	letGo()
	// A user's parked deliveries do not wait for those of a webhook.
	wantSettled(t, settle(t, s, coins(t, "alice@example.com", 2, 2)), applied)
	wantSettled(t, settle(t, s, fromItsRow(item)), applied)
	wantRows(t, db)
	checkLedger(t, db)
}

// A row goes with the outcome. Whatever happened to either, nothing is done twice.
func TestAParkedDeliveryTakesEffectOnce(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	item := coins(t, "alice@example.com", 1, 1)
	park(t, s, applier.Paused, item, item)
	wantSettled(t, settle(t, s, fromItsRow(item), fromItsRow(item)), applied, known)
	wantSettled(t, settle(t, s, fromItsRow(item), item), known, known)
	park(t, s, applier.Paused, item) // it has an outcome
	wantRows(t, db)

	settled := coins(t, "alice@example.com", 1, 2) // both are there, however that came about
	park(t, s, applier.Paused, settled)
	wantSettled(t, settle(t, s, settled), applied)
	wantRows(t, db, "paused 2")
	wantSettled(t, settle(t, s, fromItsRow(settled)), known)
	wantRows(t, db)

	// Neither is there: both went long ago.
	wantSettled(t, settle(t, s, fromItsRow(coins(t, "alice@example.com", 1, 3))), applier.Settlement{Forgotten: true})
	park(t, s, applier.Paused, fromItsRow(coins(t, "alice@example.com", 1, 4)))
	wantRows(t, db)
	if got := balances(t, s, "alice@example.com")["coins"]; got != 2 {
		t.Errorf("%d coins", got)
	}
	checkLedger(t, db)
}

var known = applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied, Known: true}

// A failure takes the row, too.
func TestAParkedDeliveryThatFails(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	item := coins(t, "nobody@example.com", 1, 1)
	park(t, s, applier.Paused, item)
	if got := settle(t, s, fromItsRow(item)); kind(got[0]) != "user_not_found" {
		t.Errorf("settled as %+v", got)
	}
	wantRows(t, db)
	checkLedger(t, db)
}

// A delivery that waited while outcomes of its age were removed is executed. One that
// comes back with an older stream is not, and is not parked either.
func TestAParkedDeliveryIsNotForgotten(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	waited, forgotten := coins(t, "alice@example.com", 1, 1), coins(t, "alice@example.com", 1, 2)
	park(t, s, applier.Paused, waited)
	execute(t, db, "INSERT INTO removals (epoch, sequence, stored_before) VALUES (1, 100, now() + interval '1 day')")
	park(t, s, applier.Paused, forgotten, waited)
	wantRows(t, db, "paused 1")
	wantSettled(t, settle(t, s, fromItsRow(waited), forgotten), applied, applier.Settlement{Forgotten: true})
	checkLedger(t, db)
}

func TestAParkedReplay(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	first := coins(t, "nobody@example.com", 1, 1)
	settle(t, s, first)
	replay := replayOf(first, coins(t, "alice@example.com", 1, 1))
	park(t, s, applier.Paused, replay)
	letGo := holding(t, db, lockAlice)
	wantSettled(t, settle(t, s, fromItsRow(replay)), parked)
	letGo()
	// Somebody else decides about the dead letter.
	letGo = holding(t, db, "SELECT FROM outcomes FOR UPDATE")
	wantSettled(t, settle(t, s, fromItsRow(replay), coins(t, "alice@example.com", 1, 1002)), parked, parked)
	letGo()
	wantSettled(t, settle(t, s, fromItsRow(replay)), applied)
	again := fromItsRow(replay)
	if got := settle(t, s, again)[0]; !got.Known && !got.Forgotten {
		t.Errorf("settled again as %+v", got)
	}
	park(t, s, applier.Paused, replay) // it has been executed
	wantRows(t, db, "user_locked 1002 alice@example.com")

	// A replay without a user waits for nobody but its own delivery.
	broken := replayOf(first, first)
	letGo = holding(t, db, "SELECT FROM outcomes FOR UPDATE")
	wantSettled(t, settle(t, s, broken), parked)
	letGo()
	got, err := s.ParkedOfUsers(t.Context(), partitionOfAll, 10)
	if err != nil || len(got) != 2 {
		t.Errorf("%d parked deliveries, %v", len(got), err)
	}
	if got := settle(t, s, fromItsRow(broken))[0]; !got.NoOp {
		t.Errorf("settled as %+v", got)
	}
	checkLedger(t, db)
}
