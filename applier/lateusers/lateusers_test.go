package lateusers_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/lateusers"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	alice = "alice@example.com"
	bob   = "bob@example.com"

	asks = "state: active\nlate_users: {}\n"
)

var ranByItself = []string{" by : user_not_found true", "user_found by coinhook: applied true"}

func TestDeliveriesRunAgainOnceTheirUserAppears(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.hook(t, "Shop", asks)
	alices, bobs := w.letters(t, hook, alice, 3), w.letters(t, hook, bob, 1)
	nobodys := w.letters(t, hook, "nobody@example.com", 1)
	w.settles(t)
	j := w.starts(t, "applier", nil)
	j.awaitSweeps(t)
	if n := len(w.published()); n > 0 {
		t.Fatalf("%d deliveries of nobody were published", n)
	}
	w.addUsers(t, "ALICE@example.com", bob)
	w.awaitApplied(t, slices.Concat(alices, bobs)...)
	j.awaitSweeps(t) // and nothing more
	if diff := cmp.Diff([]string{"user_not_found"}, w.status(t, nobodys...)); diff != "" {
		t.Errorf("whose user has not appeared:\n%s", diff)
	}
	w.wantCoins(t, alice, 1+2+4)
	w.wantCoins(t, bob, 1)
	for _, id := range slices.Concat(alices, bobs) {
		if diff := cmp.Diff(ranByItself, w.runs(t, id)); diff != "" {
			t.Errorf("%s:\n%s", id, diff)
		}
	}
	var order []delivery.ID
	for _, d := range w.published() {
		if d.Revision != 0 || d.Replay.Revision != hook.Revision || d.Replay.Note == "" || d.Replay.Edited || len(d.Headers) != 1 {
			t.Errorf("published as %+v with %+v", d, d.Replay)
		}
		if slices.Contains(alices, d.ID) {
			order = append(order, d.ID)
		}
	}
	if diff := cmp.Diff(alices, order); diff != "" {
		t.Errorf("the order of a user's deliveries:\n%s", diff)
	}
	if n := j.replayed(t); n != 4 {
		t.Errorf("%d deliveries are counted, want 4", n)
	}
	if log := j.log.String(); strings.Count(log, `"level":"info"`) == 0 || strings.Count(log, `"webhook_id":"`+hook.ID) != 4 ||
		!strings.Contains(log, `"delivery_id":"`+alices[0].String()) || strings.Contains(log, "amount") {
		t.Errorf("the log is\n%s", log)
	}
}

func TestWithoutAskingNothingRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asking := w.hook(t, "Asking", asks)
	hooks := []broker.Saved{
		w.hook(t, "Silent", "state: active\n"),
		w.hook(t, "Disabled", "state: disabled\nlate_users: {}\n"),
		w.hook(t, "Draft", "late_users: {}\n"),
		w.hook(t, "Deleted", asks),
	}
	var silent []delivery.ID
	for i := range hooks {
		silent = append(silent, w.letters(t, hooks[i], alice, 1)...)
	}
	now := time.Now()
	hooks[3].DeletedAt = &now
	hooks[3] = w.update(t, hooks[3])
	one := w.letters(t, asking, alice, 1)
	w.addUsers(t, alice)
	w.settles(t)
	j := w.starts(t, "applier", nil)
	w.awaitApplied(t, one...)
	j.awaitSweeps(t)
	if diff := cmp.Diff(slices.Repeat([]string{"user_not_found"}, 4), w.status(t, silent...)); diff != "" {
		t.Error(diff)
	}
	// One that asks later, or no longer, is heard while the job runs.
	hooks[0].LateUsers = &webhook.LateUsers{MaxAge: "1h", MaxDeliveries: 1}
	w.update(t, hooks[0])
	w.awaitApplied(t, silent[0])
	asking.LateUsers = nil
	w.update(t, asking)
	j.awaitSweeps(t)
	more := w.letters(t, asking, bob, 1)
	w.addUsers(t, bob)
	j.awaitSweeps(t)
	if diff := cmp.Diff([]string{"user_not_found"}, w.status(t, more...)); diff != "" {
		t.Error(diff)
	}
}

// none has webhooks that do not ask.
type none struct{}

func (none) List() []*webhook.Webhook {
	return []*webhook.Webhook{{}, {Program: &webhook.Program{}, Record: webhook.Record{Definition: webhook.Definition{State: webhook.Active}}}}
}

func TestTheDatabaseIsLeftAloneWhileNobodyAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := postgres.Open("postgres://nobody@127.0.0.1:1/nothing?sslmode=disable", postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close() //nolint:errcheck // there are no connections
		var log lines
		j := lateusers.New(lateusers.Options{Store: store, Definitions: none{}, Now: time.Now, Log: zerolog.New(&log), Metrics: prometheus.NewRegistry()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := j.Run(ctx); err != nil {
			t.Error(err)
		}
		if text := log.String(); text != "" { // such as that it does not answer
			t.Errorf("the log is\n%s", text)
		}
	})
}

func TestWhatWasPublishedBeforeARestartTakesEffectOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.letters(t, w.hook(t, "Shop", asks), alice, 3)
	w.addUsers(t, alice)
	for _, name := range []string{"before", "after"} { // nothing settles meanwhile
		j := w.starts(t, name, nil)
		eventually(t, "all are published", func() bool { return j.replayed(t) == 3 })
		j.awaitSweeps(t)
		if n := j.replayed(t); n != 3 {
			t.Errorf("%d are published, want each once", n)
		}
		j.stop()
	}
	w.settles(t)
	w.awaitApplied(t, ids...)
	w.wantCoins(t, alice, 1+2+4)
	j := w.starts(t, "later", nil)
	j.awaitSweeps(t)
	if n := j.replayed(t); n != 0 {
		t.Errorf("%d that have run are published", n)
	}
	replays := map[delivery.ID]delivery.ID{}
	for _, d := range w.published() {
		if before, ok := replays[d.ID]; ok && before != d.Replay.ID {
			t.Errorf("one decision is two replays: %s and %s", before, d.Replay.ID)
		}
		replays[d.ID] = d.Replay.ID
	}
	for _, id := range ids {
		if diff := cmp.Diff(ranByItself, w.runs(t, id)); diff != "" {
			t.Error(diff)
		}
	}
}

// leader names the connections of whoever has the lead.
func (w *world) leader(t *testing.T) (name string) {
	t.Helper()
	row := w.db.QueryRowContext(t.Context(), `SELECT coalesce(min(a.application_name), '') FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database() AND a.application_name LIKE 'applier%'`)
	if err := row.Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestAnotherApplierTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.hook(t, "Shop", asks)
	alices, bobs := w.letters(t, hook, alice, 2), w.letters(t, hook, bob, 2)
	carols := w.letters(t, hook, "carol@example.com", 2)
	w.settles(t)
	jobs := map[string]job{"applier-1": w.starts(t, "applier-1", nil), "applier-2": w.starts(t, "applier-2", nil)}
	eventually(t, "one has the lead", func() bool { return w.leader(t) != "" })
	w.addUsers(t, alice)
	w.awaitApplied(t, alices...)

	// Its connection dies: it notices, and one of the two goes on.
	if _, err := w.db.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", w.leader(t)); err != nil {
		t.Fatal(err)
	}
	w.addUsers(t, bob)
	w.awaitApplied(t, bobs...)

	// It dies itself: the other one goes on.
	eventually(t, "one has the lead again", func() bool { return w.leader(t) != "" })
	first := w.leader(t)
	jobs[first].stop()
	w.addUsers(t, "carol@example.com")
	w.awaitApplied(t, carols...)
	if second := w.leader(t); second == first || second == "" {
		t.Errorf("%q has the lead after %q", second, first)
	}
	if n := jobs["applier-1"].replayed(t) + jobs["applier-2"].replayed(t); n != 6 {
		t.Errorf("%d were published, want each once", n)
	}
	for _, id := range slices.Concat(alices, bobs, carols) {
		if diff := cmp.Diff(ranByItself, w.runs(t, id)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTheBoundsOfAWebhook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.hook(t, "Shop", "state: active\nlate_users: {max_age: 2h, max_deliveries: 3}\n")
	other := w.hook(t, "Other", "state: active\nlate_users: {max_deliveries: 1}\n")
	ids, others, bobs := w.letters(t, hook, alice, 6), w.letters(t, other, alice, 2), w.letters(t, hook, bob, 1)
	for i, age := range []time.Duration{2*time.Hour + time.Second, time.Hour} { // two are older, and one of them too old
		if _, err := w.db.ExecContext(t.Context(), "UPDATE outcomes SET received_at = $2 WHERE delivery_id = $1", ids[i].String(), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	w.addUsers(t, alice, bob)
	j := w.starts(t, "first", nil) // what is published counts before it has run
	j.awaitSweeps(t)
	if n := j.replayed(t); n != 5 {
		t.Errorf("%d are published, want 5", n)
	}
	j.stop()
	w.settles(t)
	want := func(words ...string) {
		t.Helper()
		if diff := cmp.Diff(words, w.status(t, ids...)); diff != "" {
			t.Error(diff)
		}
	}
	for _, name := range []string{"before", "after"} { // a restart forgets no run
		j = w.starts(t, name, nil)
		w.awaitApplied(t, slices.Concat(ids[1:4], others[:1], bobs)...)
		j.awaitSweeps(t)
		want("user_not_found", "applied", "applied", "applied", "user_not_found", "user_not_found")
		if diff := cmp.Diff([]string{"applied", "user_not_found"}, w.status(t, others...)); diff != "" {
			t.Error(diff)
		}
		if name == "before" {
			j.stop()
		}
	}
	hook.LateUsers = &webhook.LateUsers{MaxAge: "365d", MaxDeliveries: 4}
	w.update(t, hook)
	w.awaitApplied(t, ids[0]) // the oldest goes first
	j.awaitSweeps(t)
	want("applied", "applied", "applied", "applied", "user_not_found", "user_not_found")
	w.wantCoins(t, alice, 1+2+4+8+1)
}

func TestNoMoreIsPublishedThanRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.letters(t, w.hook(t, "Shop", "state: active\nlate_users: {max_deliveries: 10000}\n"), alice, 300)
	w.addUsers(t, alice)
	j := w.starts(t, "applier", nil)
	eventually(t, "it looks what has run", func() (looks bool) {
		row := w.db.QueryRowContext(t.Context(), "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'applier' AND query LIKE '%execution_id%'")
		if err := row.Scan(&looks); err != nil {
			t.Fatal(err)
		}
		return looks
	})
	if n := j.replayed(t); n != 256 {
		t.Errorf("%d are published and none has run", n)
	}
	w.settles(t)
	w.awaitApplied(t, ids...)
	var order []delivery.ID
	for _, d := range w.published() {
		order = append(order, d.ID)
	}
	if diff := cmp.Diff(ids, order); diff != "" {
		t.Errorf("the order of a user's deliveries:\n%s", diff)
	}
}

// A stream may be lost, or what a replay needs be missing for days.
func TestWhatDoesNotRunIsPublishedAgainEverMoreRarely(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.hook(t, "Shop", asks)
	w.letters(t, hook, alice, 2)
	w.addUsers(t, alice)
	var published atomic.Int64
	replays := make(chan delivery.ID, 100)
	j := w.starts(t, "applier", func(ctx context.Context, d delivery.Delivery, p lateusers.Publisher) error {
		published.Add(1)
		replays <- d.Replay.ID
		return p.Publish(ctx, d)
	})
	for _, step := range []struct { // the waits are 1, 2 and 4 minutes, and the test takes its own time
		after time.Duration
		want  int64
	}{{0, 2}, {10 * time.Second, 2}, {time.Minute, 4}, {time.Minute, 4}, {2 * time.Minute, 6}, {2 * time.Minute, 6}, {12 * time.Hour, 8}} {
		w.ahead.Add(int64(step.after))
		j.awaitSweeps(t)
		if n := published.Load(); n != step.want {
			t.Fatalf("after another %s %d were published, want %d", step.after, n, step.want)
		}
	}
	if n := j.replayed(t); n != 2 {
		t.Errorf("%d are counted, want 2", n)
	}
	w.settles(t)
	eventually(t, "both have run", func() bool {
		u, err := w.store.FindUser(t.Context(), community, alice)
		return err == nil && u.Balances["coins"] == 1+2
	})
	close(replays)
	seen := map[delivery.ID]bool{}
	for id := range replays {
		seen[id] = true
	}
	if len(seen) != 2 {
		t.Errorf("%d replays, want 2", len(seen))
	}
}

func TestABrokerThatDoesNotStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.hook(t, "Shop", asks)
	// More than are published at once: Bob's comes after some of hers.
	alices, bobs := w.letters(t, hook, alice, 40), w.letters(t, hook, bob, 1)
	w.addUsers(t, alice, bob)
	w.settles(t)
	var mended atomic.Bool
	var mu sync.Mutex
	tried := map[delivery.ID]int{}
	// The first of Alice's is refused, and so hers that come after it wait.
	j := w.starts(t, "applier", func(ctx context.Context, d delivery.Delivery, p lateusers.Publisher) error {
		mu.Lock()
		tried[d.ID]++
		mu.Unlock()
		if d.ID == alices[0] && !mended.Load() {
			return errors.New("not stored")
		}
		return p.Publish(ctx, d)
	})
	w.awaitApplied(t, bobs...)
	j.awaitSweeps(t)
	mu.Lock()
	if len(tried) != 2 || tried[alices[0]] < 2 || tried[bobs[0]] != 1 {
		t.Errorf("tried %v", tried)
	}
	mu.Unlock()
	if n := j.log.count(`"level":"warn"`); n != 1 || j.log.count(alices[0].String()) == 0 {
		t.Errorf("%d warnings in\n%s", n, j.log)
	}
	mended.Store(true)
	w.awaitApplied(t, alices...)
	j.awaitSweeps(t)
	if n := j.replayed(t); n != 41 {
		t.Errorf("%d are counted as published, want 41", n)
	}
}

func TestWhatAnAdminEditedRunsAsEdited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.letters(t, w.hook(t, "Shop", asks), alice, 1)
	const edited = `{"user": "alice@example.com", "amount": 40}`
	if _, err := w.db.ExecContext(t.Context(), "UPDATE dead_letters SET edited = $2 WHERE delivery_id = $1", ids[0].String(), []byte(edited)); err != nil {
		t.Fatal(err)
	}
	w.addUsers(t, alice)
	w.settles(t)
	w.starts(t, "applier", nil)
	w.awaitApplied(t, ids...)
	w.wantCoins(t, alice, 40)
	all, err := w.store.Executions(t.Context(), ids[0])
	if err != nil || len(all) != 2 || string(all[1].Edited) != edited || !strings.Contains(string(all[1].Original), `"amount": 1`) {
		t.Errorf("ran as %+v, %v", all, err)
	}
}

// Discarded before it ran, and brought back: the replay that found nothing to do
// is not the one that is published now.
func TestADeadLetterThatWasDiscardedAndIsBackRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.letters(t, w.hook(t, "Shop", asks), alice, 1)
	w.addUsers(t, alice)
	j := w.starts(t, "applier", nil)
	eventually(t, "it is published", func() bool { return j.replayed(t) == 1 })
	exec := func(query string) {
		if _, err := w.db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE discarded AS SELECT * FROM dead_letters")
	exec("DELETE FROM dead_letters")
	w.settles(t)
	eventually(t, "the replay has done nothing", func() bool { return len(w.runs(t, ids[0])) == 2 })
	exec("INSERT INTO dead_letters SELECT * FROM discarded")
	w.awaitApplied(t, ids...)
	want := []string{" by : user_not_found true", "user_found by coinhook: user_not_found false", "user_found by coinhook: applied true"}
	if diff := cmp.Diff(want, w.runs(t, ids[0])); diff != "" {
		t.Error(diff)
	}
}

// A user who is there each time the job looks, and gone when the delivery is
// settled: the row waits for Alice, and the payload is Bob's.
func TestADeliveryRunsByItselfThreeTimesAtMost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.letters(t, w.hook(t, "Shop", asks), alice, 1)
	w.addUsers(t, alice)
	if _, err := w.db.ExecContext(t.Context(), `UPDATE dead_letters SET edited = '{"user": "bob@example.com", "amount": 1}'`); err != nil {
		t.Fatal(err)
	}
	waitsForAlice := func() {
		if _, err := w.db.ExecContext(t.Context(), "UPDATE dead_letters SET user_key = $1", alice); err != nil {
			t.Fatal(err)
		}
	}
	w.settles(t)
	j := w.starts(t, "applier", nil)
	for n := 2; n <= 4; n++ {
		eventually(t, "it has run again", func() bool { return len(w.runs(t, ids[0])) == n })
		waitsForAlice()
	}
	j.awaitSweeps(t)
	if runs := w.runs(t, ids[0]); len(runs) != 4 || runs[3] != "user_found by coinhook: user_not_found true" {
		t.Errorf("it ran %q", runs)
	}
	seen := map[delivery.ID]bool{}
	for _, d := range w.published() {
		if id := d.Replay.ID; seen[id] || id[6]>>4 != 7 || id[8]>>6 != 2 || string(id[:6]) != string(d.ID[:6]) {
			t.Errorf("the replay %s of %s is no new UUIDv7", id, d.ID)
		}
		seen[d.Replay.ID] = true
	}
}
