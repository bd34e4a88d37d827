package lateusers_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/lateusers"
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
	w.AddUsers(community, "ALICE@example.com", bob)
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
		if d.Revision != 0 || d.Slot != delivery.SlotOf(community) || d.Replay.Revision != hook.Revision || d.Replay.Note == "" || d.Replay.Edited || len(d.Headers) != 1 {
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
	w.AddUsers(community, alice)
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
	w.AddUsers(community, bob)
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
		defer store.Close() // there are no connections
		var log appliertest.Log
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
	w.AddUsers(community, alice)
	for _, name := range []string{"before", "after"} { // nothing settles meanwhile
		j := w.starts(t, name, nil)
		appliertest.Eventually(t, "all are published", func() bool { return j.replayed(t) == 3 })
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
	row := w.DB.QueryRowContext(t.Context(), `SELECT coalesce(min(a.application_name), '') FROM pg_locks l JOIN pg_stat_activity a USING (pid)
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
	appliertest.Eventually(t, "one has the lead", func() bool { return w.leader(t) != "" })
	w.AddUsers(community, alice)
	w.awaitApplied(t, alices...)

	// Its connection dies: it notices, and one of the two goes on.
	if _, err := w.DB.ExecContext(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1", w.leader(t)); err != nil {
		t.Fatal(err)
	}
	w.AddUsers(community, bob)
	w.awaitApplied(t, bobs...)

	// It dies itself: the other one goes on.
	appliertest.Eventually(t, "one has the lead again", func() bool { return w.leader(t) != "" })
	first := w.leader(t)
	jobs[first].stop()
	w.AddUsers(community, "carol@example.com")
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
		if _, err := w.DB.ExecContext(t.Context(), "UPDATE outcomes SET received_at = $2 WHERE delivery_id = $1", ids[i].String(), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	w.AddUsers(community, alice, bob)
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
