package postgres_test

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// No partition of any generation waits for the lock of another.
func TestEachPartitionHasItsOwnLock(t *testing.T) {
	t.Parallel()
	seen := map[int32]bool{}
	for generation := 1; generation <= 100; generation++ {
		for partition := range delivery.Slots {
			key := postgres.PartitionKey(generation, partition)
			if seen[key] {
				t.Fatalf("partition %d of generation %d has the key %d of another", partition, generation, key)
			}
			seen[key] = true
		}
	}
}

// leased is one of the partition with that index, which has the token in the table.
func leased(tb testing.TB, db *sql.DB, index int, token int64) *applier.Lease {
	tb.Helper()
	execute(tb, db, `INSERT INTO partitions (generation, partition, partitions, token) VALUES (3, $1, 4, $2)
		ON CONFLICT (generation, partition) DO UPDATE SET token = excluded.token`, index, token)
	return &applier.Lease{Partition: delivery.Partition{Generation: 3, Index: index, Count: 4}, Token: token}
}

func under(l *applier.Lease, item applier.Item) applier.Item {
	item.Lease = l
	return item
}

// wantFenced fails unless the error names these leases.
func wantFenced(tb testing.TB, err error, lost ...*applier.Lease) {
	tb.Helper()
	var fenced *applier.FencedError
	if !errors.As(err, &fenced) {
		tb.Errorf("error %v, want a FencedError", err)
		return
	}
	if diff := cmp.Diff(lost, fenced.Lost); diff != "" {
		tb.Errorf("leases that are lost (-want +got):\n%s", diff)
	}
}

// Nothing is committed under a lease that is lost, whatever the batch holds else.
func TestALostLeaseCommitsNothing(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	ours, lost := leased(t, db, 0, 7), leased(t, db, 1, 4)
	leased(t, db, 1, 5)
	gone := &applier.Lease{Partition: delivery.Partition{Generation: 2, Index: 1, Count: 2}, Token: 1}
	failure := applier.Item{Delivery: newDelivery(t), Webhook: shop, Failure: &delivery.Failure{Reason: delivery.MissingField}}
	mine := under(ours, coins(t, "alice@example.com", 1, 1))
	for name, batch := range map[string][]applier.Item{
		"with a user":      {mine, under(lost, coins(t, "alice@example.com", 1, 2))},
		"without a user":   {mine, under(lost, failure)},
		"without any user": {under(lost, failure)},
		"from its row":     {under(lost, fromItsRow(failure))},
	} {
		_, err := s.Settle(t.Context(), batch)
		if t.Log(name); err == nil {
			t.Errorf("%s: it was settled", name)
		}
		wantFenced(t, err, lost)
		var parkings []applier.Parking
		for _, item := range batch {
			parkings = append(parkings, applier.Parking{Item: item, Reason: applier.Paused})
		}
		wantFenced(t, s.Park(t.Context(), parkings), lost)
	}
	_, err := s.Settle(t.Context(), []applier.Item{under(gone, failure), under(lost, failure), under(lost, failure), mine})
	wantFenced(t, err, gone, lost)
	if n := count(t, db, "SELECT (SELECT count(*) FROM outcomes) + (SELECT count(*) FROM parked)"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
	wantSettled(t, settle(t, s, mine), applied)
	park(t, s, applier.Paused, under(ours, failure))
	wantRows(t, db, "paused 7")
}

// takeOver raises the token of a partition as a new owner does.
func takeOver(tb testing.TB, db *sql.DB, l *applier.Lease) {
	tb.Helper()
	tx, err := db.BeginTx(tb.Context(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer tx.Rollback() // after a commit it does nothing
	if _, err := tx.ExecContext(tb.Context(), "SELECT pg_advisory_xact_lock($1, $2)", postgres.PartitionClass, postgres.PartitionKey(l.Generation, l.Index)); err != nil {
		tb.Fatal(err)
	}
	if _, err := tx.ExecContext(tb.Context(), "UPDATE partitions SET token = token + 1 WHERE (generation, partition) = ($1, $2)", l.Generation, l.Index); err != nil {
		tb.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		tb.Fatal(err)
	}
}

// Once a new owner has the partition, the old one commits nothing any more, whatever
// was in flight.
func TestANewOwnerFencesTheOldOne(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true, MaxConns: 8})
	addUsers(t, s, "alice@example.com", "bob@example.com")
	for token := int64(1); token < 20 && !t.Failed(); token++ {
		l := leased(t, db, 2, token)
		begun, since := make(chan struct{}, 4), time.Now()
		old := func(email string) chan struct{} {
			return started(func() {
				defer func() { begun <- struct{}{} }() // also after an error
				for n := 0; time.Since(since) < 30*time.Second; n++ {
					item := under(l, plan(t, email, change(webhook.Add, "coins", 1)))
					if _, err := s.Settle(t.Context(), []applier.Item{item}); err != nil {
						wantFenced(t, err, l)
						return
					}
					if n == 0 {
						begun <- struct{}{}
					}
				}
				t.Error("the old owner goes on")
			})
		}
		alice, bob := old("alice@example.com"), old("bob@example.com")
		<-begun
		<-begun
		takeOver(t, db, l)
		n := count(t, db, "SELECT count(*) FROM outcomes")
		<-alice
		<-bob
		if more := count(t, db, "SELECT count(*) FROM outcomes") - n; more != 0 {
			t.Errorf("%d deliveries were settled after the partition had a new owner", more)
		}
	}
	checkLedger(t, db)
}
