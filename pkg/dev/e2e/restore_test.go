package e2e

import (
	"database/sql"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// exec runs a statement on another database of the stack's PostgreSQL.
func (s *stack) exec(t *testing.T, statements ...string) {
	t.Helper()
	u, err := url.Parse(s.Env()["DATABASE_OWNER_URL"])
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/postgres"
	db, err := sql.Open("postgres", u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // all was done
	for _, statement := range statements {
		if _, err := db.ExecContext(withDeadline(t), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// The audit finds what the restored database does not know of, and repairs it,
// while deliveries go on coming.
func TestADatabaseRestoredFromABackupIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	const users, before, after = 5, 40, 60
	w := newStack(t).newWorld(t, "late")
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
	})
	var found, repaired, again auditJSON
	w.audit(t, 1, &found)
	if found.Unsettled != after || len(found.Violations) != after+10 {
		t.Errorf("found %d without an outcome, and %d violations", found.Unsettled, len(found.Violations))
	}
	stop, meanwhile := make(chan struct{}), 0
	var flowing sync.WaitGroup
	flowing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				h.deliver(t, coinsBody("late", "1"))
				meanwhile++
			}
		}
	})
	w.audit(t, 0, &repaired, "--repair")
	close(stop)
	flowing.Wait()
	if repaired.Repaired != after+10 || !repaired.OK {
		t.Errorf("repaired %d: %+v", repaired.Repaired, repaired.Violations)
	}
	if meanwhile == 0 {
		t.Error("nothing came meanwhile: the test does not show what it is to show")
	}
	w.awaitCount(t, before+10+after+meanwhile, all+" AND status = 'success'")
	w.audit(t, 0, &again, "--repair")
	if again.Repaired != 0 || again.Accepted != before+10+after+meanwhile {
		t.Errorf("repaired %d of %d once more", again.Repaired, again.Accepted)
	}
	w.wantNonePending(t)
	for name, coins := range want {
		w.wantBalances(t, name, coins, "0")
	}
	w.wantBalances(t, "late", strconv.Itoa(meanwhile), "0")
	w.checkLogs(t)
}

// What a repair settles late does not overwrite what came after it.
func TestARepairedCustomFieldLosesAgainstALaterOne(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann", "ben")
	w.set(t, "fields", "set", "team", "--type", "text")
	h := w.hook(t, "good", "active", userLine+"mappings:\n  - {field: team, value: {path: team}}\n")
	join := func(user, team string) {
		wantApplied(t, w.settled(t, h.deliver(t, `{"user":"`+user+`","team":"`+team+`"}`)))
	}
	wantTeams := func(ann, ben string) {
		t.Helper()
		got := [2]string{w.user(t, "ann").Fields["team"], w.user(t, "ben").Fields["team"]}
		if got != [2]string{ann, ben} {
			t.Errorf("the teams are %q, want %q and %q", got, ann, ben)
		}
	}
	join("ann", "early")
	const disconnect = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'coinhook'`
	w.withAppliersStopped(t, func() {
		w.exec(t, disconnect, `CREATE DATABASE backup TEMPLATE coinhook`)
	})
	join("ann", "lost")
	join("ben", "lost")
	w.withAppliersStopped(t, func() {
		w.exec(t, disconnect, `DROP DATABASE coinhook`, `ALTER DATABASE backup RENAME TO coinhook`)
	})
	wantTeams("early", "")
	join("ann", "later")

	var repaired, again auditJSON
	w.audit(t, 0, &repaired, "--repair")
	if repaired.Repaired != 2 {
		t.Errorf("repaired %d, want 2", repaired.Repaired)
	}
	wantTeams("later", "lost")
	join("ben", "later")
	w.withAppliersStopped(t, func() { w.handOutAgain(t) })
	w.wantNonePending(t)
	wantTeams("later", "later")
	values := map[string]bool{}
	for _, e := range w.fieldHistory(t, "--user", "ann") {
		values[e.Value] = e.Current
	}
	if diff := cmp.Diff(map[string]bool{"early": false, "lost": false, "later": true}, values); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	w.audit(t, 0, &again, "--repair")
	if again.Repaired != 0 || again.Accepted != 5 {
		t.Errorf("repaired %d of %d once more", again.Repaired, again.Accepted)
	}
}

// auditJSON is what an audit prints.
type auditJSON struct {
	Accepted, Success, Failed, Pending, Unsettled, Repaired int
	Violations                                              []struct {
		Kind       string
		DeliveryID string `json:"delivery_id"`
	}
	OK bool
}

// audit runs an audit that is to end with that exit code.
func (s *stack) audit(t *testing.T, code int, into *auditJSON, flags ...string) {
	t.Helper()
	got := s.coinhook(t, append([]string{"audit", "-o", "json", "--yes"}, flags...)...)
	if got.code != code {
		t.Fatalf("audit %v: exit %d, want %d\n%s%s", flags, got.code, code, got.stdout, got.stderr)
	}
	if err := json.Unmarshal([]byte(got.stdout), into); err != nil {
		t.Fatal(err, got.stdout)
	}
}

// The floors of the partitions are moved to the stream's end, so that appliers skip
// deliveries. The audit finds them, also right after they were sent.
func TestWhatAConsumerSkippedIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	const settled, skipped, users = 20, 500, 5
	w := newStack(t).newWorld(t)
	w.addNumbered(t, users)
	h := w.hook(t, "good", "active", userLine+addCoins)
	for n := range settled {
		h.deliver(t, coinsBody(userName(n%users), "1"))
	}
	w.awaitCount(t, settled, "SELECT count(*) FROM outcomes WHERE community = $1")
	w.withAppliersStopped(t, func() {
		for n := range skipped {
			h.deliver(t, coinsBody(userName(n%users), "1"))
		}
		w.skipToTheEnd(t)
	})
	var found, repaired, again auditJSON
	w.audit(t, 1, &found)
	if found.Accepted != settled+skipped || found.Success != settled || found.Unsettled != skipped || len(found.Violations) != skipped {
		t.Errorf("found %+v", found)
	}
	w.audit(t, 0, &repaired, "--repair")
	w.audit(t, 0, &again, "--repair")
	if repaired.Repaired != skipped || again.Repaired != 0 || again.Success != settled+skipped {
		t.Errorf("repaired %d, then %d of %d", repaired.Repaired, again.Repaired, again.Accepted)
	}
	for u := range users {
		w.wantBalances(t, userName(u), strconv.Itoa((settled+skipped)/users), "0")
	}
	w.checkLogs(t)
}

// skipToTheEnd has the broker hand out what comes from now on, and nothing else.
func (s *stack) skipToTheEnd(t *testing.T) {
	t.Helper()
	s.moveFloors(t, func(last uint64) uint64 { return last })
}

// handOutAgain has the appliers read all there is once more.
func (s *stack) handOutAgain(t *testing.T) {
	t.Helper()
	s.moveFloors(t, func(uint64) uint64 { return 0 })
}

// moveFloors moves the floors of all partitions. Their owners have to be stopped.
func (s *stack) moveFloors(t *testing.T, to func(last uint64) uint64) {
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
	stream, err := js.Stream(withDeadline(t), "DELIVERIES")
	if err != nil {
		t.Fatal(err)
	}
	floor := to(stream.CachedInfo().State.LastSeq)
	for name := range stream.ConsumerNames(withDeadline(t)).Name() {
		if !strings.HasPrefix(name, "partition-") {
			continue
		}
		if _, err := js.ResetConsumerToSequence(withDeadline(t), "DELIVERIES", name, floor+1); err != nil {
			t.Fatal(err)
		}
	}
}
