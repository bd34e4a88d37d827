package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var forgotten = applier.Settlement{Forgotten: true}

// storedAt has the broker store items an hour apart, the last one at the end.
func storedAt(end time.Time, items ...applier.Item) []applier.Item {
	for i := range items {
		items[i].Delivery.StoredAt = end.Add(time.Duration(i-len(items)+1) * time.Hour)
		items[i].Delivery.ReceivedAt = items[i].Delivery.StoredAt
	}
	return items
}

// A stream that comes back from a backup has deliveries whose outcomes were removed.
// They were paid, and are not paid again, however they come.
func TestWhatWasRemovedIsNotExecutedAgain(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(applier.Item) applier.Item{
		"redelivered":            func(i applier.Item) applier.Item { return i },
		"published by a repair":  copied,
		"published as a replay":  replayed,
		"a replay of the old":    func(i applier.Item) applier.Item { return at9(replayed(i)) },
		"of the stream before":   func(i applier.Item) applier.Item { return i },
		"of a stream never seen": func(i applier.Item) applier.Item { return i },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := postgrestest.Open(t, postgres.Options{})
			addUsers(t, s, "alice@example.com")
			items := make([]applier.Item, 5)
			for i := range items {
				items[i] = plan(t, "alice@example.com", change(webhook.Add, "coins", 1))
			}
			items = storedAt(time.Now().Add(-24*time.Hour), inStream(1, items...)...)
			settle(t, s, items...)
			old := postgres.Old{Before: tomorrow, Incarnation: "stream", First: 4, StoredBefore: time.Now().Add(-time.Hour)}
			kept := 2 // those that the stream still has
			switch name {
			case "of the stream before":
				next := plan(t, "nobody@example.com")
				next.Delivery.Incarnation = "next stream"
				settle(t, s, next)
				old.Incarnation, kept = "next stream", 0
			case "of a stream never seen":
				old.Incarnation, kept = "a stream without deliveries", 0
			}
			if r := removeAll(t, s, old, 100); r.Outcomes != 5-kept {
				t.Fatalf("removed %+v", r)
			}
			for i, item := range items {
				got, want := settle(t, s, again(item))[0], forgotten
				if i >= 5-kept {
					want = applied
					got.Known, got.NoOp = false, false
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("delivery %d: %s", i+1, diff)
				}
			}
			if diff := cmp.Diff(map[string]int64{"coins": 5}, balances(t, s, "alice@example.com")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// copied is an item as a repair publishes it, at the end of the stream.
func copied(i applier.Item) applier.Item {
	d := *i.Delivery
	d.First = &delivery.Place{Incarnation: d.Incarnation, Position: d.Position}
	d.Position, d.StoredAt = at(100, 0), time.Now()
	i.Delivery = &d
	return i
}

func replayed(i applier.Item) applier.Item {
	i = copied(i)
	i.Delivery.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual, RequestedAt: time.Now()}
	return i
}

// at9 is a replay that was in the stream before the removal.
func at9(i applier.Item) applier.Item {
	i.Delivery.StoredAt = i.Delivery.ReceivedAt
	i.Delivery.Position, i.Delivery.First = i.Delivery.First.Position, nil
	return i
}

// A delivery that waited when others were removed is executed, and so is one at a
// sequence that is used again.
func TestWhatWasNotSettledIsExecutedAfterARemoval(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	var items []applier.Item
	for range 5 {
		items = append(items, plan(t, "alice@example.com", change(webhook.Add, "coins", 1)))
	}
	items = storedAt(time.Now().Add(-24*time.Hour), inStream(1, items...)...)
	settle(t, s, items[0], items[1], items[3]) // the third and the last are pending
	for first := range uint64(3) {
		old := postgres.Old{Before: tomorrow, Incarnation: "stream", First: first + 1, StoredBefore: time.Now().Add(-time.Hour)}
		removeAll(t, s, old, 100)
	}
	if n := count(t, db, `SELECT count(*) FROM removals`); n != 1 {
		t.Errorf("%d removals are kept, want the last", n)
	}
	again := inStream(1, plan(t, "alice@example.com", change(webhook.Add, "coins", 10)))[0]
	again.Delivery.StoredAt = time.Now()
	got := settle(t, s, items[0], items[1], items[2], items[4], again)
	if diff := cmp.Diff([]applier.Settlement{forgotten, forgotten, applied, applied, applied}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int64{"coins": 15}, balances(t, s, "alice@example.com")); diff != "" {
		t.Error(diff)
	}
}

// A stream that was restored is removed from its beginning again. What that says
// leaves alone what is new in it, and what the removals before said holds.
func TestRemovalsOfARestoredStream(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	now := time.Now()
	send := func(first, n int, storedAt time.Time) (items []applier.Item) {
		for range n {
			items = append(items, plan(t, "alice@example.com"))
		}
		for i := range inStream(first, items...) {
			items[i].Delivery.StoredAt = storedAt
		}
		return items
	}
	remove := func(first int, storedBefore time.Time) {
		removeAll(t, s, postgres.Old{Before: tomorrow, Incarnation: "stream", First: uint64(first), StoredBefore: storedBefore}, 100)
	}
	before := send(1, 10, now.Add(-100*time.Hour))
	settle(t, s, before...)
	remove(9, now.Add(-90*time.Hour))
	// It comes back with four messages, and goes on with others.
	after := send(5, 4, now.Add(-50*time.Hour))
	settle(t, s, after[:2]...)
	remove(3, now.Add(-10*time.Hour))
	remove(7, now.Add(-10*time.Hour))
	if n := count(t, db, `SELECT count(*) FROM removals`); n != 2 {
		t.Errorf("%d removals are kept, want one for each time", n)
	}
	got := settle(t, s, before[7], after[1], after[2], after[3])
	if diff := cmp.Diff([]applier.Settlement{forgotten, forgotten, applied, applied}, got); diff != "" {
		t.Error(diff)
	}
}
