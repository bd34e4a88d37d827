package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// auditPasses audits all pages, and returns what is new.
func auditPasses(tb testing.TB, s *postgres.Store) (fresh []admin.Finding) {
	tb.Helper()
	for _, page := range []func(context.Context, delivery.ID) (delivery.ID, []admin.Finding, error){s.AuditAccounts, s.AuditDeliveries} {
		for at := (delivery.ID{}); !postgres.IsLastPage(at); {
			to, found, err := page(tb.Context(), at)
			if err != nil {
				tb.Fatal(err)
			}
			at, fresh = to, append(fresh, found...)
		}
	}
	return fresh
}

// A finding is new once, is kept while it is found, and forgotten when it is not.
func TestFindingsComeAndGo(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "a@x", "b@x")
	settle(t, s, plan(t, "a@x", change(webhook.Add, "coins", 5)), plan(t, "b@x", change(webhook.Add, "coins", 5)))
	exec := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if fresh := auditPasses(t, s); len(fresh) > 0 {
		t.Fatalf("found %+v in a ledger that adds up", fresh)
	}
	exec(`UPDATE balances SET amount = 6 WHERE user_id = (SELECT id FROM users WHERE email = 'a@x')`)
	if fresh := auditPasses(t, s); len(fresh) != 1 || fresh[0].Kind != "balance_changed" || *fresh[0].UserID != userID(t, s, "a@x") {
		t.Fatalf("found %+v", fresh)
	}
	if fresh := auditPasses(t, s); len(fresh) > 0 {
		t.Fatalf("found again: %+v", fresh)
	}
	exec(`UPDATE balances SET amount = 5`)
	auditPasses(t, s)
	if left, err := s.Findings(t.Context()); err != nil || len(left) > 0 {
		t.Fatalf("left are %+v, %v", left, err)
	}
}

// What the audit found is there with the place that it found it up to, for whoever
// reads both.
func TestNobodySeesProgressWithoutItsFindings(t *testing.T) {
	t.Parallel()
	const rounds = 200
	s, _ := postgrestest.Open(t, postgres.Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range uint64(rounds) {
			p, _, err := s.Audited(t.Context())
			if err == nil {
				p.Incarnation, p.Sequence = "stream", n
				_, err = s.RecordStream(t.Context(), p, []admin.Finding{{Kind: "unsettled", Sequence: n}})
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for going := true; going; {
		select {
		case <-done:
			going = false // and once more
		default:
		}
		p, found, err := s.Audited(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if p.Incarnation != "" && (len(found) != 1 || found[0].Sequence != p.Sequence) {
			t.Fatalf("up to message %d it found %+v", p.Sequence, found)
		}
	}
}

// A watch that looked at the stream while another one went on writes nothing.
func TestAWatchThatIsNotTheLastOneRecordsNothing(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	old, _, err := s.Audited(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := old
	now.Incarnation, now.Sequence = "stream", 7
	found := []admin.Finding{{Kind: "unsettled", Sequence: 5}}
	if _, err := s.RecordStream(t.Context(), now, found); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RecordStream(t.Context(), old, nil); err == nil {
		t.Error("it recorded what was seen before")
	}
	p, left, err := s.Audited(t.Context())
	if err != nil || p.Sequence != 7 || len(left) != 1 {
		t.Errorf("left are message %d and %+v, %v", p.Sequence, left, err)
	}
}

// While deliveries are settled, replayed, reverted and discarded, and old ones are
// removed, everything adds up at every moment.
func TestTheAuditIsNeverWrongAboutWhatGoesOn(t *testing.T) {
	t.Parallel()
	const users, rounds = 4, 60
	s, _ := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	var emails []string
	for n := range users {
		emails = append(emails, fmt.Sprintf("u%d@x", n))
	}
	addUsers(t, s, emails...)
	var mu sync.Mutex
	var applied, dead []applier.Item
	take := func(from *[]applier.Item, n int) []applier.Item {
		mu.Lock()
		defer mu.Unlock()
		n = min(n, len(*from))
		taken := slices.Clone((*from)[:n])
		*from = (*from)[n:]
		return taken
	}
	var working sync.WaitGroup
	goOn := func(f func()) {
		working.Go(func() {
			for range rounds {
				f()
			}
		})
	}
	goOn(func() {
		var good, bad []applier.Item
		for range 10 {
			good = append(good, plan(t, emails[rand.IntN(users)], change(webhook.Add, "coins", rand.Int64N(9)+1), change(webhook.Add, "xp", 1)))
			bad = append(bad, plan(t, emails[rand.IntN(users)], change(webhook.Subtract, "coins", 1<<40)))
		}
		settle(t, s, inStream(1, append(slices.Clone(good), bad...)...)...)
		mu.Lock()
		defer mu.Unlock()
		applied, dead = append(applied, good...), append(dead, bad...)
	})
	goOn(func() {
		var again []applier.Item
		for _, item := range take(&dead, 4) {
			d := *item.Delivery
			d.Replay, d.Position = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual, RequestedBy: "ada", RequestedAt: time.Now()}, at(50, 0)
			item.Delivery = &d
			item.Plan.Changes = []applier.Change{change(webhook.Add, "coins", 1)}
			again = append(again, item)
		}
		if len(again) > 0 {
			settle(t, s, again...)
		}
	})
	goOn(func() {
		if ids := idsOf(take(&dead, 3)...); len(ids) > 0 {
			if _, err := s.DiscardDeadLetters(t.Context(), ids, time.Now().Add(time.Hour), "ada", "a test"); err != nil {
				t.Error(err)
			}
		}
	})
	goOn(func() {
		if _, err := s.Revert(t.Context(), idsOf(take(&applied, 3)...), byAda); err != nil {
			t.Error(err)
		}
	})
	goOn(func() {
		old := postgres.Old{Before: tomorrow, Incarnation: "stream", First: 40}
		if _, err := s.RemoveLogs(t.Context(), old, 5); err != nil {
			t.Error(err)
		}
		if _, err := s.RemoveOutcomes(t.Context(), old, 5); err != nil {
			t.Error(err)
		}
	})
	done := make(chan struct{})
	go func() { working.Wait(); close(done) }()
	for going := true; going; {
		select {
		case <-done:
			going = false // and once more
		default:
		}
		if fresh := auditPasses(t, s); len(fresh) > 0 {
			t.Fatalf("found %+v", fresh)
		}
	}
}
