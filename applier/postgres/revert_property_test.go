package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// drawItems are deliveries of any kind, of these users.
func drawItems(tb testing.TB, rt *rapid.T, emails []string, run int) []applier.Item {
	tb.Helper()
	var items []applier.Item
	for range rapid.IntRange(1, 12).Draw(rt, "deliveries") {
		var changes []applier.Change
		for range rapid.IntRange(0, 3).Draw(rt, "changes") {
			changes = append(changes, change(
				rapid.SampledFrom([]webhook.Operator{webhook.Add, webhook.Add, webhook.Subtract}).Draw(rt, "operator"),
				rapid.SampledFrom([]string{"xp", "coins"}).Draw(rt, "currency"), rapid.Int64Range(1, 9).Draw(rt, "amount")))
		}
		item := plan(tb, rapid.SampledFrom(append(emails, "nobody@x")).Draw(rt, "user"), changes...)
		drawKeyAndFields(rt, &item, run)
		items = append(items, item)
	}
	return items
}

// TestRevertDoesWhatItsRehearsalSays: any deliveries are reverted, in any order
// and any batches, with any of them repeated and others settled in between.
func TestRevertDoesWhatItsRehearsalSays(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	setField(t, s, "team", applier.Text)
	setField(t, s, "size", applier.Text)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		emails := []string{fmt.Sprintf("a%d@x", run), fmt.Sprintf("b%d@x", run)}
		addUsers(t, s, emails...)
		items := drawItems(t, rt, emails, run)
		settle(t, s, items...)
		opts := byAda
		opts.AllowNegative = rapid.Bool().Draw(rt, "allow negative")
		var chosen []applier.Item
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(items)-1), 0, 2*len(items)).Draw(rt, "reverted") {
			chosen = append(chosen, items[i])
		}
		rehearsal := s.RehearseRevert(opts)
		var planned []ledger.Reversal
		for rest := idsOf(chosen...); len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "batch")
			some, err := rehearsal.Revert(t.Context(), rest[:n])
			if err != nil {
				rt.Fatal(err)
			}
			planned, rest = append(planned, some...), rest[n:]
		}
		if diff := cmp.Diff(planned, revertInBatches(t, rt, s, opts, idsOf(chosen...))); diff != "" {
			rt.Fatal(diff)
		}
		settle(t, s, drawItems(t, rt, emails, run)...)
		before := []any{balances(t, s, emails[0]), fields(t, s, emails[0]), balances(t, s, emails[1]), fields(t, s, emails[1])}
		var reverted []delivery.ID
		for _, r := range planned {
			if r.State == ledger.Reverted {
				reverted = append(reverted, r.ID)
			}
		}
		for _, r := range revertInBatches(t, rt, s, opts, reverted) {
			if r.State != ledger.AlreadyReverted {
				rt.Fatalf("reverted again: %+v", r)
			}
		}
		after := []any{balances(t, s, emails[0]), fields(t, s, emails[0]), balances(t, s, emails[1]), fields(t, s, emails[1])}
		if diff := cmp.Diff(before, after); diff != "" {
			rt.Fatal(diff)
		}
	})
	checkLedger(t, db)
}

func revertInBatches(tb testing.TB, rt *rapid.T, s *postgres.Store, opts postgres.RevertOptions, ids []delivery.ID) (all []ledger.Reversal) {
	tb.Helper()
	for len(ids) > 0 {
		n := rapid.IntRange(1, len(ids)).Draw(rt, "batch")
		some, err := s.Revert(tb.Context(), ids[:n], opts)
		if err != nil {
			rt.Fatal(err)
		}
		all, ids = append(all, some...), ids[n:]
	}
	return all
}

// TestRevertBesideAppliers: commands that revert the same deliveries, and appliers
// that settle others of the same users, never wait in a circle, and each delivery
// is reverted by one of them.
func TestRevertBesideAppliers(t *testing.T) {
	t.Parallel()
	const commands, users, deliveries = 3, 5, 300
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 2 * commands})
	var emails []string
	for u := range users {
		emails = append(emails, fmt.Sprintf("u%d@x", u))
	}
	addUsers(t, s, emails...)
	revision := setField(t, s, "team", applier.Text)
	draw := func() (items []applier.Item) {
		for range deliveries {
			item := plan(t, emails[rand.N(users)], change(webhook.Add, "coins", rand.Int64N(9)+1), change(webhook.Add, "xp", 1))
			item.Plan.Fields = []applier.FieldChange{{Field: "team", Value: fmt.Sprint(rand.N(9)), Revision: revision}}
			item.Delivery.Position = at(rand.Uint64N(1<<40), 0)
			items = append(items, item)
		}
		return items
	}
	items := draw()
	settle(t, s, items...)
	var reverted atomic.Int64
	var running sync.WaitGroup
	for range commands {
		ids := idsOf(items...)
		rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		running.Go(func() {
			for ; len(ids) > 0; ids = ids[min(len(ids), 20):] {
				reversals, err := s.Revert(t.Context(), ids[:min(len(ids), 20)], byAda)
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range reversals {
					if r.State == ledger.Reverted {
						reverted.Add(1)
					}
				}
			}
		})
		others := draw()
		running.Go(func() {
			for ; len(others) > 0; others = others[min(len(others), 20):] {
				settleAll(t, s, others[:min(len(others), 20)]...)
			}
		})
	}
	running.Wait()
	if n := count(t, db, "SELECT count(*) FROM reverts"); n != deliveries || reverted.Load() != deliveries {
		t.Errorf("%d of %d reverted, by %d", n, deliveries, reverted.Load())
	}
	checkLedger(t, db)
}
