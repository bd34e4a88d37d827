package postgres_test

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// allFree chooses every partition that nobody has.
func allFree(view postgres.LeaseView) (free []delivery.Partition) {
	for _, p := range view.Partitions {
		if !p.Lives {
			free = append(free, p.Partition)
		}
	}
	return free
}

// lease does one round and returns the leases that the applier took.
func lease(tb testing.TB, s *postgres.Store, r postgres.LeaseRound) (view postgres.LeaseView, took []applier.Lease) {
	tb.Helper()
	if r.For == 0 {
		r.For = time.Minute
	}
	view, err := s.Leases(tb.Context(), r)
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range view.Partitions {
		if p.Taken {
			took = append(took, p.Lease)
		}
	}
	return view, took
}

func owners(view postgres.LeaseView) (all []string) {
	for _, p := range view.Partitions {
		owner := p.Owner
		if owner != "" && !p.Lives {
			owner += " (run out)"
		}
		all = append(all, owner)
	}
	return all
}

func saveGenerations(tb testing.TB, s *postgres.Store, all ...delivery.Generation) {
	tb.Helper()
	if err := s.SaveGenerations(tb.Context(), all); err != nil {
		tb.Fatal(err)
	}
}

func leasingStore(tb testing.TB) (*postgres.Store, *sql.DB) {
	tb.Helper()
	return postgrestest.Open(tb, postgres.Options{MaxConns: 4})
}

func TestGenerationsAreWhatWasSaved(t *testing.T) {
	t.Parallel()
	before, db := postgrestest.OpenURL(t, postgrestest.EmptyURL(t), postgres.Options{})
	if got, err := before.Generations(t.Context()); err != nil || got != nil {
		t.Fatalf("before the tables are made there are %+v, %v", got, err)
	}
	if _, err := before.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := before
	want := []delivery.Generation{
		{Number: 1, Count: 2, Ends: true, EndsAt: 0, Incarnation: "one", Finished: true, Rows: 2},
		{Number: 2, Count: 1, Ends: true, EndsAt: 70, Incarnation: "one", Rows: 1},
		{Number: 3, Count: 4, BeginsAfter: 70, Incarnation: "one", Rows: 4},
	}
	for range 2 {
		saveGenerations(t, s, want...)
		got, err := s.Generations(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	execute(t, db, "DELETE FROM partitions WHERE generation = 3 AND partition = 2")
	want[2].Rows = 3
	if got, err := s.Generations(t.Context()); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
	saveGenerations(t, s, want[2])
	if got, err := s.Generations(t.Context()); err != nil || got[2].Rows != 4 {
		t.Errorf("%+v %v", got, err)
	}
}

// A setup saves while appliers have leases. They keep them, except those of a
// generation that the setup finishes.
func TestSavingKeepsTheLeases(t *testing.T) {
	t.Parallel()
	s, _ := leasingStore(t)
	one := delivery.Generation{Number: 1, Count: 2, Incarnation: "one"}
	saveGenerations(t, s, one)
	_, took := lease(t, s, postgres.LeaseRound{Applier: "a", Choose: allFree})
	one.Ends, one.EndsAt = true, 10
	two := delivery.Generation{Number: 2, Count: 1, BeginsAfter: 10, Incarnation: "one"}
	saveGenerations(t, s, one, two)
	view, _ := lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took})
	if diff := cmp.Diff([]string{"a", "a"}, owners(view)); diff != "" {
		t.Error(diff)
	}
	for _, p := range view.Partitions {
		if !p.Ends || p.EndsAt != 10 || p.Token != 1 {
			t.Errorf("%+v", p)
		}
	}
	one.Finished = true
	saveGenerations(t, s, one, two)
	view, took = lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took, Choose: allFree})
	if len(took) != 1 || took[0] != (applier.Lease{Partition: two.Partition(0), Token: 1}) || view.Partitions[0].BeginsAfter != 10 {
		t.Errorf("took %+v of %+v", took, view)
	}
}

func TestLeases(t *testing.T) {
	t.Parallel()
	four := delivery.Generation{Number: 1, Count: 4, Incarnation: "one"}

	t.Run("are renewed, and run out by PostgreSQL's clock", func(t *testing.T) {
		t.Parallel()
		s, _ := leasingStore(t)
		saveGenerations(t, s, four)
		_, took := lease(t, s, postgres.LeaseRound{Applier: "a", Choose: allFree})
		if len(took) != 4 {
			t.Fatalf("took %+v", took)
		}
		view, none := lease(t, s, postgres.LeaseRound{Applier: "b", Choose: allFree})
		if len(none) > 0 || !cmp.Equal(view.Members, []string{"a", "b"}) {
			t.Fatalf("took %+v of %+v", none, view)
		}
		lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took[1:], For: time.Millisecond})
		lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took[:1]})
		// The leases do not run out in the same instant.
		var taken []postgres.LeasedPartition
		eventually(t, func() error {
			view, _ = lease(t, s, postgres.LeaseRound{Applier: "b", Choose: allFree})
			for _, p := range view.Partitions {
				if p.Taken {
					taken = append(taken, p)
				}
			}
			if len(taken) < 3 {
				return errNothingYet
			}
			return nil
		})
		if diff := cmp.Diff([]string{"a", "b", "b", "b"}, owners(view)); diff != "" {
			t.Error(diff)
		}
		for _, p := range taken {
			if p.Token != 2 || p.From != "a" {
				t.Errorf("%+v", p)
			}
		}
		// a does not get back what it had, whatever it says.
		view, _ = lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took, Release: took[1:]})
		if diff := cmp.Diff([]string{"a", "b", "b", "b"}, owners(view)); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("are released and taken at once", func(t *testing.T) {
		t.Parallel()
		s, _ := leasingStore(t)
		saveGenerations(t, s, four)
		_, took := lease(t, s, postgres.LeaseRound{Applier: "a", Choose: allFree})
		lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took[1:], Release: took[:1]})
		view, _ := lease(t, s, postgres.LeaseRound{Applier: "b", Choose: allFree})
		if diff := cmp.Diff([]string{"b", "a", "a", "a"}, owners(view)); diff != "" {
			t.Error(diff)
		}
		if view.Partitions[0].From != "" {
			t.Errorf("it was taken from %q", view.Partitions[0].From)
		}
		lease(t, s, postgres.LeaseRound{Applier: "a", Leave: true})
		view, _ = lease(t, s, postgres.LeaseRound{Applier: "b", Choose: allFree})
		if diff := cmp.Diff([]string{"b", "b", "b", "b"}, owners(view)); diff != "" || !cmp.Equal(view.Members, []string{"b"}) {
			t.Errorf("members %q %s", view.Members, diff)
		}
	})

	t.Run("that a round took without being told are taken again", func(t *testing.T) {
		t.Parallel()
		s, _ := leasingStore(t)
		saveGenerations(t, s, four)
		lease(t, s, postgres.LeaseRound{Applier: "a", Choose: allFree})
		_, took := lease(t, s, postgres.LeaseRound{Applier: "a", Choose: func(view postgres.LeaseView) []delivery.Partition {
			return []delivery.Partition{view.Partitions[3].Partition}
		}})
		if len(took) != 1 || took[0].Token != 2 {
			t.Errorf("took %+v", took)
		}
	})

	t.Run("of a generation wait for the generation before", func(t *testing.T) {
		t.Parallel()
		s, _ := leasingStore(t)
		saveGenerations(t, s,
			delivery.Generation{Number: 1, Count: 2, Ends: true, EndsAt: 7, Incarnation: "one"},
			delivery.Generation{Number: 2, Count: 3, BeginsAfter: 7, Incarnation: "one"})
		_, took := lease(t, s, postgres.LeaseRound{Applier: "a", Choose: allFree})
		if len(took) != 2 || took[0].Generation != 1 {
			t.Fatalf("took %+v", took)
		}
		_, more := lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took, Finish: took[1:], Choose: allFree})
		if len(more) > 0 {
			t.Fatalf("took %+v while a partition is left", more)
		}
		_, more = lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took[:1], Finish: took[:1], Choose: allFree})
		if len(more) != 3 || more[0].Generation != 2 {
			t.Errorf("took %+v", more)
		}
	})

	t.Run("of an open generation cannot be finished", func(t *testing.T) {
		t.Parallel()
		s, _ := leasingStore(t)
		saveGenerations(t, s, four)
		_, took := lease(t, s, postgres.LeaseRound{Applier: "a", Choose: allFree})
		view, _ := lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took, Finish: took})
		if diff := cmp.Diff([]string{"a", "a", "a", "a"}, owners(view)); diff != "" {
			t.Error(diff)
		}
	})
}

type notYet struct{}

func (notYet) Error() string { return "nothing is taken yet" }

var errNothingYet = notYet{}

// A partition is taken, or finished, only while no transaction of its owner is in
// flight. Nobody waits for that.
func TestLeasesWaitForTransactionsInFlight(t *testing.T) {
	t.Parallel()
	s, db := leasingStore(t)
	saveGenerations(t, s, delivery.Generation{Number: 1, Count: 2, Ends: true, EndsAt: 5, Incarnation: "one"})
	settling, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer settling.Rollback() // it is rolled back below
	if _, err := settling.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock_shared($1, $2)",
		postgres.PartitionClass, postgres.PartitionKey(1, 0)); err != nil {
		t.Fatal(err)
	}
	_, took := lease(t, s, postgres.LeaseRound{Applier: "a", Choose: allFree})
	if len(took) != 1 || took[0].Index != 1 {
		t.Fatalf("took %+v", took)
	}
	if err := settling.Rollback(); err != nil {
		t.Fatal(err)
	}
	_, more := lease(t, s, postgres.LeaseRound{Applier: "a", Hold: took, Choose: allFree})
	if len(more) != 1 {
		t.Fatalf("took %+v", more)
	}
	settling, err = db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer settling.Rollback() // nothing was written
	if _, err := settling.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock_shared($1, $2)",
		postgres.PartitionClass, postgres.PartitionKey(1, 1)); err != nil {
		t.Fatal(err)
	}
	view, _ := lease(t, s, postgres.LeaseRound{Applier: "a", Hold: append(took, more...), Finish: append(took, more...)})
	if len(view.Partitions) != 1 || view.Partitions[0].Index != 1 || view.Partitions[0].Owner != "a" {
		t.Errorf("left are %+v", view.Partitions)
	}
}

// A process that is frozen in the middle of a round has locked rows. The others do not
// wait for it.
func TestLeasesPassAFrozenRound(t *testing.T) {
	t.Parallel()
	s, db := leasingStore(t)
	saveGenerations(t, s, delivery.Generation{Number: 1, Count: 3, Incarnation: "one"})
	lease(t, s, postgres.LeaseRound{Applier: "frozen"})
	_, took := lease(t, s, postgres.LeaseRound{Applier: "a", Choose: func(view postgres.LeaseView) []delivery.Partition {
		return []delivery.Partition{view.Partitions[0].Partition}
	}})
	frozen, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Rollback() // nothing was written
	for _, statement := range []string{
		"UPDATE partitions SET owner = 'frozen', token = token + 1 WHERE partition = 1",
		"UPDATE partition_members SET expires_at = expires_at WHERE applier = 'frozen'",
	} {
		if _, err := frozen.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	view, err := s.Leases(ctx, postgres.LeaseRound{Applier: "a", For: time.Minute, Hold: took, Choose: allFree})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "", "a"}, owners(view)); diff != "" {
		t.Error(diff)
	}
}

// A setup saves between rounds, which lock rows first and the table later.
func TestSavingAndLeasingAtTheSameTime(t *testing.T) {
	t.Parallel()
	s, _ := leasingStore(t)
	old := delivery.Generation{Number: 1, Count: 8, Ends: true, EndsAt: 3, Incarnation: "one"}
	newest := delivery.Generation{Number: 2, Count: 1, BeginsAfter: 3, Incarnation: "one"}
	saveGenerations(t, s, old, newest)
	var leasing sync.WaitGroup
	done := make(chan struct{})
	for _, name := range []string{"a", "b"} {
		leasing.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				view, err := s.Leases(t.Context(), postgres.LeaseRound{Applier: name, For: time.Minute, Choose: allFree})
				if err == nil {
					var took []applier.Lease
					for _, p := range view.Partitions {
						if p.Taken {
							took = append(took, p.Lease)
						}
					}
					_, err = s.Leases(t.Context(), postgres.LeaseRound{Applier: name, For: time.Minute, Hold: took, Release: took})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 100 {
		saveGenerations(t, s, old, newest)
	}
	close(done)
	leasing.Wait()
}
