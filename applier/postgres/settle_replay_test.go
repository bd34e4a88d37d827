package postgres_test

import (
	"fmt"
	"sync"
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

// replayOf is a delivery that comes again in a later message, by another plan.
func replayOf(first, again applier.Item) applier.Item {
	d := *first.Delivery
	d.Position.Sequence += 1000
	d.Replay = &delivery.Replay{
		ID: delivery.NewID(), Cause: delivery.Manual, RequestedBy: "anna@office",
		RequestedAt: time.Now().UTC().Truncate(time.Microsecond), Note: "fixed",
	}
	again.Delivery = &d
	return again
}

// executions lists what has become of a delivery each time it ran.
func executions(tb testing.TB, s *postgres.Store, id delivery.ID) []string {
	tb.Helper()
	all, err := s.Executions(tb.Context(), id)
	if err != nil {
		tb.Fatal(err)
	}
	var lines []string
	for _, e := range all {
		line := fmt.Sprintf("%s by %q, version %d: %s %s%s", e.Cause, e.RequestedBy, e.Version, e.Status, e.Outcome, e.Reason)
		if !e.Effect {
			line += ", no-op"
		}
		lines = append(lines, line)
	}
	return lines
}

func outcome(tb testing.TB, s *postgres.Store, id delivery.ID) string {
	tb.Helper()
	o, err := s.FindOutcome(tb.Context(), id)
	if err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("%s %s%s, %d replays, %d attempts", o.Status, orNone(o.Outcome), orNone(o.Reason), o.Replays, o.Attempts)
}

// orNone is what a pointer points to, empty for nil.
func orNone[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func isDeadLetter(tb testing.TB, s *postgres.Store, id delivery.ID) bool {
	tb.Helper()
	bodies, err := s.DeadLetterBodies(tb.Context(), []delivery.ID{id})
	if err != nil {
		tb.Fatal(err)
	}
	return len(bodies) > 0
}

// The broker hands a replay out again, together with a later one of the same delivery.
// Only the later one still waits.
func TestAReplayThatRanIsNotParked(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	first := plan(t, "nobody@example.com", change(webhook.Add, "coins", 5))
	settle(t, s, first)
	ran, waits := replayOf(first, first), replayOf(first, first)
	settle(t, s, ran)
	var parking []applier.Parking
	for _, item := range []applier.Item{ran, waits} {
		parking = append(parking, applier.Parking{Item: item, Reason: applier.Paused, Detail: "The webhook is paused."})
	}
	if err := s.Park(t.Context(), parking); err != nil {
		t.Fatal(err)
	}
	where := fmt.Sprintf("parked WHERE replay_id = '%s'", ran.Delivery.Replay.ID)
	if n := count(t, db, "SELECT count(*) FROM "+where); n != 0 {
		t.Error("the replay that ran is parked")
	}
	if n := count(t, db, "SELECT count(*) FROM parked"); n != 1 {
		t.Errorf("%d are parked, want the later replay", n)
	}
}

func TestAReplay(t *testing.T) {
	t.Parallel()

	t.Run("of a dead letter takes effect once", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{Settling: true})
		addUsers(t, s, "alice@example.com")
		first := plan(t, "alicia@example.com", change(webhook.Add, "coins", 50))
		settle(t, s, first)
		fixed := replayOf(first, plan(t, "alice@example.com", change(webhook.Add, "coins", 50)))
		if diff := cmp.Diff([]applier.Settlement{applied}, settle(t, s, fixed)); diff != "" {
			t.Error(diff)
		}
		if again := settle(t, s, fixed); !again[0].Known || again[0].NoOp {
			t.Errorf("handed out again it is %+v", again[0])
		}
		late := replayOf(first, fixed)
		if s := settle(t, s, late); !s[0].NoOp || s[0].Outcome != delivery.Applied {
			t.Errorf("a second replay is %+v", s[0])
		}
		want := []string{
			` by "", version 3: failed user_not_found`,
			`manual by "anna@office", version 3: success applied`,
			`manual by "anna@office", version 3: success applied, no-op`,
		}
		if diff := cmp.Diff(want, executions(t, s, first.Delivery.ID)); diff != "" {
			t.Error(diff)
		}
		if got := outcome(t, s, first.Delivery.ID); got != "success applied, 1 replays, 2 attempts" {
			t.Error(got)
		}
		if got := balances(t, s, "alice@example.com")["coins"]; got != 50 || isDeadLetter(t, s, first.Delivery.ID) {
			t.Errorf("%d coins", got)
		}
		checkLedger(t, db)
	})

	t.Run("that fails again stays a dead letter, with the new reason", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{Settling: true})
		first := plan(t, "nobody@example.com", change(webhook.Add, "coins", 50))
		settle(t, s, first)
		broken := plan(t, "nobody@example.com")
		broken.Failure = &delivery.Failure{Reason: delivery.MissingField, Detail: "It is not there.", Path: "coins"}
		again := replayOf(first, broken)
		if got := settle(t, s, again); got[0].Failure == nil || got[0].Failure.Reason != delivery.MissingField {
			t.Errorf("settled as %+v", got[0])
		}
		if got := outcome(t, s, first.Delivery.ID); got != "failed missing_field, 1 replays, 2 attempts" {
			t.Error(got)
		}
		list, err := s.ListDeadLetters(t.Context(), postgres.DeadLetterFilter{Limit: 10})
		if err != nil || len(list) != 1 || *list[0].Path != "coins" || list[0].UserKey != "" || list[0].Replays != 1 {
			t.Errorf("dead letters %+v, %v", list, err)
		}
		checkLedger(t, db)
	})

	t.Run("of an edited payload keeps the original beside it", func(t *testing.T) {
		t.Parallel()
		s, _ := postgrestest.Open(t, postgres.Options{Settling: true})
		addUsers(t, s, "alice@example.com")
		first := plan(t, "alicia@example.com", change(webhook.Add, "coins", 1))
		settle(t, s, first)
		edited := func(body, email string) applier.Item {
			item := replayOf(first, plan(t, email, change(webhook.Add, "coins", 2)))
			item.Delivery.Body, item.Delivery.Replay.Edited = []byte(body), true
			return item
		}
		settle(t, s, edited("first edit", "alina@example.com"))
		bodies, err := s.DeadLetterBodies(t.Context(), []delivery.ID{first.Delivery.ID})
		if b := bodies[first.Delivery.ID]; err != nil || string(b.Edited) != "first edit" || string(b.Payload) != string(first.Delivery.Body) {
			t.Errorf("the dead letter has %q and %q, %v", b.Payload, b.Edited, err)
		}
		settle(t, s, edited("second edit", "alice@example.com"))
		all, err := s.Executions(t.Context(), first.Delivery.ID)
		if err != nil || len(all) != 3 {
			t.Fatalf("%d executions, %v", len(all), err)
		}
		if string(all[1].Edited) != "first edit" || string(all[2].Edited) != "second edit" || string(all[2].Original) != string(first.Delivery.Body) {
			t.Errorf("kept %q, %q and %q", all[1].Edited, all[2].Edited, all[2].Original)
		}
	})

	t.Run("does not overwrite what a later delivery has set", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{Settling: true})
		revision := setField(t, s, "team", applier.Text)
		addUsers(t, s, "alice@example.com")
		early := setting(t, revision, "red", "one", at(5, 0))
		early.Failure = &delivery.Failure{Reason: delivery.InvalidFieldValue, Detail: "It does not fit."}
		settle(t, s, early)
		settle(t, s, setting(t, revision, "blue", "one", at(6, 0)))
		again := setting(t, revision, "red", "one", at(7, 0))
		again = replayOf(early, again)
		if got := settle(t, s, again); got[0].Outcome != delivery.Applied {
			t.Errorf("settled as %+v", got[0])
		}
		if got := fields(t, s, "alice@example.com")["team"]; got != "blue" {
			t.Errorf("team is %s, want what was sent later", got)
		}
		checkLedger(t, db)
	})

	t.Run("of a delivery that the database does not know runs as the first time", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{Settling: true})
		addUsers(t, s, "alice@example.com")
		first := plan(t, "alice@example.com", change(webhook.Add, "coins", 50))
		settle(t, s, replayOf(first, first))
		if got := settle(t, s, first); !got[0].Known {
			t.Errorf("the original is then %+v", got[0])
		}
		if got := balances(t, s, "alice@example.com")["coins"]; got != 50 {
			t.Errorf("%d coins", got)
		}
		checkLedger(t, db)
	})

	t.Run("that comes in one batch with others of the delivery", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{Settling: true})
		addUsers(t, s, "alice@example.com")
		first := plan(t, "nobody@example.com", change(webhook.Add, "coins", 50))
		fixed := plan(t, "alice@example.com", change(webhook.Add, "coins", 50))
		other := plan(t, "alice@example.com", change(webhook.Add, "coins", 1))
		got := settle(t, s, first, replayOf(first, fixed), other, replayOf(first, fixed), other)
		want := []delivery.Status{delivery.Failed, delivery.Success, delivery.Success, delivery.Success, delivery.Success}
		for i := range got {
			if got[i].Status != want[i] || got[i].NoOp != (i == 3) || got[i].Known != (i == 4) {
				t.Errorf("%d is %+v", i, got[i])
			}
		}
		if got := balances(t, s, "alice@example.com")["coins"]; got != 51 {
			t.Errorf("%d coins", got)
		}
		checkLedger(t, db)
	})
}

// Of many replays at once, on several connections, one is applied.
func TestReplaysOfOneDeliveryAtOnce(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true, MaxConns: 8})
	addUsers(t, s, "alice@example.com")
	first := plan(t, "nobody@example.com", change(webhook.Add, "coins", 50))
	settle(t, s, first)
	const replays = 20
	var wg sync.WaitGroup
	results := make([]applier.Settlement, replays)
	for i := range replays {
		item := replayOf(first, plan(t, "alice@example.com", change(webhook.Add, "coins", 50)))
		wg.Go(func() { results[i] = settleAll(t, s, item)[0] })
	}
	wg.Wait()
	noOps := 0
	for _, r := range results {
		if r.Outcome != delivery.Applied {
			t.Errorf("settled as %+v", r)
		}
		if r.NoOp {
			noOps++
		}
	}
	if noOps != replays-1 {
		t.Errorf("%d no-ops of %d", noOps, replays)
	}
	if n := count(t, db, "SELECT count(*) FROM gamification_logs"); n != 1 {
		t.Errorf("%d logs", n)
	}
	if n := count(t, db, "SELECT count(*) FROM executions WHERE effect"); n != 2 {
		t.Errorf("%d executions had an effect, want the first one and a replay", n)
	}
	checkLedger(t, db)
}

// Whatever is replayed how often and in which batches, each delivery is applied
// once at most, and what a rehearsal says beforehand is what happens.
func TestReplaysAreWhatTheRehearsalSays(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		emails := []string{fmt.Sprintf("a%d@x", run), fmt.Sprintf("b%d@x", run), fmt.Sprintf("nobody%d@x", run)}
		addUsers(t, s, emails[:2]...)
		draw := func() applier.Item {
			op := rapid.SampledFrom([]webhook.Operator{webhook.Add, webhook.Subtract}).Draw(rt, "operator")
			return plan(t, rapid.SampledFrom(emails).Draw(rt, "user"), change(op, "coins", rapid.Int64Range(1, 9).Draw(rt, "amount")))
		}
		var first, dead []applier.Item
		for range rapid.IntRange(1, 6).Draw(rt, "deliveries") {
			item := draw()
			item.Failure = &delivery.Failure{Reason: delivery.MissingField, Detail: "The mapping is wrong."}
			first = append(first, item)
		}
		settle(t, s, first...)
		dead = first
		for len(dead) > 0 {
			batch := make([]applier.Item, len(dead))
			for i, d := range dead {
				batch[i] = replayOf(d, draw())
			}
			rehearsal := s.Rehearse()
			said, err := rehearsal.Settle(t.Context(), batch)
			if err != nil {
				rt.Fatal(err)
			}
			did := settle(t, s, batch...)
			if diff := cmp.Diff(said, did); diff != "" {
				rt.Fatalf("the rehearsal was wrong:\n%s", diff)
			}
			dead = nil
			for i, d := range did {
				if d.Status == delivery.Failed && rapid.Bool().Draw(rt, "again") {
					dead = append(dead, batch[i])
				}
			}
		}
		for _, item := range first {
			if n := count(t, db, "SELECT count(*) FROM gamification_logs WHERE delivery_id = $1", item.Delivery.ID.String()); n > 1 {
				rt.Fatalf("%s was applied %d times", item.Delivery.ID, n)
			}
		}
	})
	checkLedger(t, db)
}
