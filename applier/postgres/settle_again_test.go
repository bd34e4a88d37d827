package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// copyOf is a delivery that a repair has published once more, in a later message.
func copyOf(item applier.Item, at delivery.Position) applier.Item {
	d := *item.Delivery
	d.First = &delivery.Place{Incarnation: d.Incarnation, Position: d.Position}
	d.Position = at
	item.Delivery = &d
	return item
}

// lostAndLater are a delivery that nobody settled and one that came after it.
func lostAndLater(tb testing.TB, s *postgres.Store) (lost, later applier.Item) {
	tb.Helper()
	addUsers(tb, s, "alice@example.com")
	revision := setField(tb, s, "team", applier.Text)
	return setting(tb, revision, "red", "one", at(600, 1)), setting(tb, revision, "blue", "one", at(950, 0))
}

func TestWhatIsPublishedAgainCountsWhereItWas(t *testing.T) {
	t.Parallel()
	for _, order := range []string{"after", "before", "in one batch", "in one batch, the other way round"} {
		t.Run("settled "+order, func(t *testing.T) {
			t.Parallel()
			s, db := postgrestest.Open(t, postgres.Options{})
			lost, later := lostAndLater(t, s)
			again := copyOf(lost, at(1000, 0))
			switch order {
			case "after":
				settle(t, s, later)
				settle(t, s, again)
			case "before":
				settle(t, s, again)
				settle(t, s, later)
			case "in one batch":
				settle(t, s, later, again)
			default:
				settle(t, s, again, later)
			}
			for range 2 { // and when the broker hands it out twice
				wantTeam(t, s, "blue")
				if got := settle(t, s, again, lost); !got[0].Known || !got[1].Known {
					t.Errorf("settled twice: %+v", got)
				}
			}
			// The audit looks for the outcome where it was settled from.
			settled, err := s.SettledOf(t.Context(), "one", idsOf(lost))
			if err != nil {
				t.Fatal(err)
			}
			if got := settled[lost.Delivery.ID]; !got.Here || got.Position != at(1000, 0) {
				t.Errorf("settled from %+v", got)
			}
			// What it set is what the field goes back to.
			reverting(t, s, byAda, later)
			wantTeam(t, s, "red")
			checkLedger(t, db)
		})
	}
}

// One of a stream that the database has never heard of counts where it is: no
// number could say what came before it.
func TestACopyOfAnUnknownStreamCountsWhereItIs(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	lost, later := lostAndLater(t, s)
	again := copyOf(lost, at(1000, 0))
	again.Delivery.First.Incarnation = "never seen"
	settle(t, s, later)
	settle(t, s, again)
	wantTeam(t, s, "red")
	if n := count(t, db, "SELECT count(*) FROM stream_epochs WHERE incarnation <> 'one'"); n != 0 {
		t.Errorf("%d streams have got a number", n)
	}
}

// One of an earlier stream counts as of that.
func TestACopyOfAnEarlierStreamCountsWhereItWas(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	s := open(t, url)
	lost, _ := lostAndLater(t, s)
	revision := lost.Plan.Fields[0].Revision
	settle(t, s, setting(t, revision, "first", "one", at(1, 0)))
	settle(t, s, setting(t, revision, "blue", "two", at(3, 0)))
	again := copyOf(lost, at(7, 0))
	again.Delivery.Incarnation = "two"
	settle(t, open(t, url), again) // an applier that has not seen the first stream
	wantTeam(t, s, "blue")
}

// A copy that fails is a dead letter like the delivery itself: a replay counts as
// of the first place, and says so.
func TestAReplayOfACopyCountsWhereTheDeliveryWas(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	lost, later := lostAndLater(t, s)
	settle(t, s, later)
	failing := copyOf(lost, at(1000, 0))
	failing.Plan.Changes = []applier.Change{change(webhook.Subtract, "coins", 1)}
	if got := settle(t, s, failing)[0]; got.Status != delivery.Failed {
		t.Fatalf("settled as %+v", got)
	}
	bodies, err := s.DeadLetterBodies(t.Context(), idsOf(lost))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(failing.Delivery.First, bodies[lost.Delivery.ID].First); diff != "" {
		t.Error(diff)
	}
	if got := settle(t, s, replayOf(failing, failing))[0]; got.Status != delivery.Failed {
		t.Fatalf("replayed as %+v", got)
	}
	if got := settle(t, s, replayOf(failing, lost))[0]; got.Outcome != delivery.Applied {
		t.Fatalf("replayed as %+v", got)
	}
	wantTeam(t, s, "blue")
	reverting(t, s, byAda, later)
	wantTeam(t, s, "red")
	checkLedger(t, db)
}

// A dead letter says where it was, so that its replay counts as of then even if
// the database forgets the delivery before it runs.
func TestAReplayOfAForgottenDeliveryCountsWhereItWas(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	lost, later := lostAndLater(t, s)
	failing := lost
	failing.Plan.Changes = []applier.Change{change(webhook.Subtract, "coins", 1)}
	settle(t, s, failing)
	bodies, err := s.DeadLetterBodies(t.Context(), idsOf(lost))
	if err != nil {
		t.Fatal(err)
	}
	again := replayOf(lost, lost)
	again.Delivery.First = bodies[lost.Delivery.ID].First

	restored, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, restored, "alice@example.com")
	revision := setField(t, restored, "team", applier.Text)
	again.Plan.Fields[0].Revision, later.Plan.Fields[0].Revision = revision, revision
	settle(t, restored, later)
	if got := settle(t, restored, again)[0]; got.Outcome != delivery.Applied {
		t.Fatalf("replayed as %+v", got)
	}
	wantTeam(t, restored, "blue")
	checkLedger(t, db)
}

// A replay by a definition that is gone is recorded, and leaves the dead letter as
// it is. One that a restored database does not know has no outcome to keep.
func TestAReplayThatCannotBeDecidedLeavesTheDeadLetter(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	first, unknown := plan(t, "nobody@example.com"), plan(t, "nobody@example.com")
	settle(t, s, first)
	gone := applier.Item{Webhook: shop, Failure: &delivery.Failure{Reason: delivery.InvalidMapping, Detail: "gone."}, NoOp: true}
	got := settle(t, s, replayOf(first, gone), replayOf(unknown, gone))
	if kind(got[0]) != "user_not_found" || !got[0].NoOp || kind(got[1]) != "invalid_mapping" || got[1].NoOp {
		t.Errorf("settled as %+v", got)
	}
	if n := count(t, db, `SELECT count(*) FROM dead_letters d JOIN outcomes o USING (delivery_id)
		WHERE o.delivery_id = $1 AND o.reason = 'user_not_found' AND d.user_key IS NOT NULL AND o.replays = 0`, first.Delivery.ID.String()); n != 1 {
		t.Error("the dead letter has changed")
	}
	if n := count(t, db, `SELECT count(*) FROM executions WHERE delivery_id = $1 AND NOT effect`, first.Delivery.ID.String()); n != 1 {
		t.Errorf("%d replays without effect are recorded", n)
	}
}
