package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func openPlain(tb testing.TB, url string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { db.Close() }) // all was done
	return db
}

// A prepared statement whose table has changed fails for good on its connection.
func TestAConnectionWithAnOutdatedPlanDoesNotStay(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	settlesAgain(t, s)
	execute(t, db, "ALTER TABLE users ALTER COLUMN community TYPE varchar(1000)")
	err := trySettling(t.Context(), t, s)
	if err == nil {
		t.Error("the statements still fit: the test shows nothing")
	}
	settlesAgain(t, s)
}

func TestCommitsAreSynchronous(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	db := openPlain(t, url)
	var name string
	if err := db.QueryRowContext(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	execute(t, db, fmt.Sprintf("ALTER DATABASE %s SET synchronous_commit = off", name))
	for parameters, want := range map[string]string{"": "on", "&synchronous_commit=remote_apply": "remote_apply"} {
		got, err := openSettling(t, url+parameters).Show(t.Context(), "synchronous_commit")
		if err != nil || got != want {
			t.Errorf("with %q commits are %s, want %s: %v", parameters, got, want, err)
		}
	}
}

// COMMIT that waits for a standby goes on waiting when its caller gives up. A
// cancelled one would show the outcome at once, and the message would be acked
// while a failover could still lose it.
func TestACommitIsNotCancelled(t *testing.T) {
	t.Parallel()
	primary, _ := postgrestest.Pair(t)
	s := openSettling(t, primary.URL(postgrestest.Database))
	settlesAgain(t, s)
	db := openPlain(t, primary.URL(postgrestest.Database))
	wait := func(for_ string) {
		execute(t, db, "ALTER SYSTEM SET synchronous_standby_names = '"+for_+"'")
		execute(t, db, "SELECT pg_reload_conf()")
	}
	wait("nobody")
	defer wait("")
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	settled := make(chan error, 1)
	go func() { // servers take a moment to heed the setting
		for {
			_, err := s.Settle(ctx, []applier.Item{plan(t, "alice@example.com", change(webhook.Add, "coins", 1))})
			if err != nil || ctx.Err() != nil {
				settled <- err
				return
			}
		}
	}()
	const committing = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
	eventually(t, func() error {
		if count(t, db, committing) == 0 {
			return errors.New("no COMMIT waits")
		}
		return nil
	})
	before := count(t, db, "SELECT count(*) FROM outcomes")
	giveUp()
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until); {
		if n := count(t, db, "SELECT count(*) FROM outcomes"); n != before || count(t, db, committing) != 1 {
			t.Fatalf("%d outcomes show before a standby has them", n-before)
		}
	}
	wait("")
	if err := <-settled; err != nil {
		t.Errorf("the COMMIT that got its standby: %v", err)
	}
	if n := count(t, db, "SELECT count(*) FROM outcomes"); n != before+1 {
		t.Errorf("%d outcomes", n-before)
	}
}

// A time that has passed says nothing to people: which server did not answer does.
func TestATransactionWithoutAnAnswerNamesTheServer(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	ctx, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	_, err := s.Revert(ctx, []delivery.ID{delivery.NewID()}, byAda)
	if !errors.Is(err, applier.ErrSilent) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
