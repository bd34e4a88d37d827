package lateusers_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/lateusers"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestNoMoreIsPublishedThanRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := w.letters(t, w.hook(t, "Shop", "state: active\nlate_users: {max_deliveries: 10000}\n"), alice, 300)
	w.AddUsers(community, alice)
	j := w.starts(t, "applier", nil)
	appliertest.Eventually(t, "it looks what has run", func() (looks bool) {
		row := w.DB.QueryRowContext(t.Context(), `SELECT count(*) > 0 FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'applier' AND query LIKE '%execution_id%'`)
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
	w.AddUsers(community, alice)
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
	appliertest.Eventually(t, "both have run", func() bool {
		u, err := w.Store.FindUser(t.Context(), community, alice)
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
	w.AddUsers(community, alice, bob)
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
	if n := strings.Count(j.log.String(), `"level":"warn"`); n != 1 || !strings.Contains(j.log.String(), alices[0].String()) {
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
	if _, err := w.DB.ExecContext(t.Context(), "UPDATE dead_letters SET edited = $2 WHERE delivery_id = $1", ids[0].String(), []byte(edited)); err != nil {
		t.Fatal(err)
	}
	w.AddUsers(community, alice)
	w.settles(t)
	w.starts(t, "applier", nil)
	w.awaitApplied(t, ids...)
	w.wantCoins(t, alice, 40)
	all, err := w.Store.Executions(t.Context(), ids[0])
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
	w.AddUsers(community, alice)
	j := w.starts(t, "applier", nil)
	appliertest.Eventually(t, "it is published", func() bool { return j.replayed(t) == 1 })
	exec := func(query string) {
		if _, err := w.DB.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TABLE discarded AS SELECT * FROM dead_letters")
	exec("DELETE FROM dead_letters")
	w.settles(t)
	appliertest.Eventually(t, "the replay has done nothing", func() bool { return len(w.runs(t, ids[0])) == 2 })
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
	w.AddUsers(community, alice)
	if _, err := w.DB.ExecContext(t.Context(), `UPDATE dead_letters SET edited = '{"user": "bob@example.com", "amount": 1}'`); err != nil {
		t.Fatal(err)
	}
	waitsForAlice := func() {
		if _, err := w.DB.ExecContext(t.Context(), "UPDATE dead_letters SET user_key = $1", alice); err != nil {
			t.Fatal(err)
		}
	}
	w.settles(t)
	j := w.starts(t, "applier", nil)
	for n := 2; n <= 4; n++ {
		appliertest.Eventually(t, "it has run again", func() bool { return len(w.runs(t, ids[0])) == n })
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
