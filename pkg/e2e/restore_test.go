package e2e

import (
	"context"
	"database/sql"
	"net/url"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// exec runs a statement on another database of the stack's PostgreSQL.
func (s *stack) exec(t *testing.T, statements ...string) {
	t.Helper()
	u, err := url.Parse(s.Env()["DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/postgres"
	db, err := sql.Open("postgres", u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // all was done
	for _, statement := range statements {
		if _, err := db.ExecContext(withDeadline(t), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// As the operations page says: the appliers see the stream again, and settle what
// the restored database does not know of.
func TestADatabaseRestoredFromABackupIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	const users, before, after = 5, 40, 60
	w := newStack(t).newWorld(t)
	w.addNumbered(t, users)
	h := w.hook(t, "good", "active", userLine+addCoins)
	send := func(from, to int) {
		for n := from; n < to; n++ {
			h.deliver(t, coinsBody(userName(n%users), "3"))
		}
	}
	send(0, before)
	w.deliverFailing(t, 10, users) // dead letters that are replayed after the backup
	all := "SELECT count(*) FROM outcomes WHERE community = $1"
	w.awaitCount(t, before+10, all)
	const disconnect = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'coinhook'`
	w.withAppliersStopped(t, func() {
		w.exec(t, disconnect, `CREATE DATABASE backup TEMPLATE coinhook`)
	})
	send(before, before+after)
	var replayed replayJSON
	w.query(t, &replayed, "dlq", "replay", "--community", w.community, "--all")
	w.awaitCount(t, before+10+after, all)
	want := map[string]string{}
	for u := range users {
		want[userName(u)] = w.user(t, userName(u)).Balances["coins"]
	}

	w.withAppliersStopped(t, func() {
		w.exec(t, disconnect, `DROP DATABASE coinhook`, `ALTER DATABASE backup RENAME TO coinhook`)
		w.forgetConsumer(t)
		if got := w.coinhook(t, "setup"); got.code != 0 {
			t.Fatal(got.stderr)
		}
	})
	w.awaitCount(t, before+10+after, all)
	w.awaitCount(t, before+10+after, all+" AND status = 'success'")
	w.wantNonePending(t)
	for name, coins := range want {
		w.wantBalances(t, name, coins, "0")
	}
	w.checkLogs(t)
}

// forgetConsumer deletes what the broker knows of what the appliers have settled.
func (s *stack) forgetConsumer(t *testing.T) {
	t.Helper()
	nc, err := nats.Connect(s.Env()["NATS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error { return js.DeleteConsumer(ctx, "DELIVERIES", "applier") })
}
