package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// A user can spend in the next request what the one before gave, with any number of
// lanes and partitions.
func TestDeliveriesOfAUserAreDecidedInOrder(t *testing.T) {
	t.Parallel()
	for _, lanes := range []int{1, 4} {
		t.Run(fmt.Sprint(lanes, "_lanes"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 2)
			var wg sync.WaitGroup
			want := 0
			for _, community := range []string{"red", "blue", "green"} {
				earn, spend := w.hook(t, community, "Earn", "add"), w.hook(t, community, "Spend", "subtract")
				for _, user := range w.addUsers(community, 40) {
					want += 6
					wg.Go(func() {
						for range 3 {
							earn.send(t, 5, user)
							spend.send(t, 5, user)
						}
					})
				}
			}
			w.startOwner(t, lanes)
			wg.Wait()
			w.awaitSettled(t, want)
			if n := w.failed(t); n > 0 {
				t.Errorf("%d of %d failed, want none: the balance was there", n, want)
			}
			w.awaitAcked(t)
		})
	}
}

// A backlog gets more lanes, fewer when another community has deliveries, and more again.
// No user is in two lanes meanwhile.
func TestABacklogIsInOrderWhileItsLanesChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	earn, spend := w.hook(t, "red", "Earn", "add"), w.hook(t, "red", "Spend", "subtract")
	neighbour := w.hook(t, "blue", "Earn", "add")
	var wg sync.WaitGroup
	want := 1
	for _, user := range w.addUsers("red", 50) {
		want += 160
		wg.Go(func() {
			for range 80 {
				earn.send(t, 5, user)
				spend.send(t, 5, user)
			}
		})
	}
	wg.Wait()
	w.startOwner(t, 8)
	appliertest.Eventually(t, "a part is settled", func() bool { return w.settled(t) > want/4 })
	neighbour.send(t, 1, w.addUsers("blue", 1)...)
	w.awaitSettled(t, want)
	if n := w.failed(t); n > 0 {
		t.Errorf("%d of %d failed, want none: the balance was there", n, want)
	}
}

// A paused webhook keeps its deliveries, in their order, and holds up nobody.
func TestAPausedWebhookIsExecutedWhenItIsResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 3)
	paused, other := w.hook(t, "red", "Paused", "add"), w.hook(t, "red", "Other", "add")
	paused.set(t, webhook.Paused)
	e := w.startOwner(t, 2)
	var parked []delivery.ID
	for i := range 300 { // more than a batch
		parked = append(parked, paused.send(t, i+1, users[i%3])...)
	}
	other.send(t, 1, users...)
	w.awaitSettled(t, 3)
	w.awaitParked(t, 300)
	w.awaitAcked(t)
	e.stop()
	w.startOwner(t, 2) // another applier takes over
	parked = append(parked, paused.send(t, 1000, users[0])...)
	w.awaitParked(t, 301)
	paused.set(t, webhook.Active)
	parked = append(parked, paused.send(t, 1001, users[0])...)
	w.awaitSettled(t, 3+302)
	if n := w.parked(t); n != 0 {
		t.Errorf("%d are still parked", n)
	}
	w.wantInOrder(t, parked)
}

// wantInOrder compares the order of the logs of each user with that of acceptance.
func (w *world) wantInOrder(t *testing.T, accepted []delivery.ID) {
	t.Helper()
	place := map[string]int{}
	for i, id := range accepted {
		place[id.String()] = i
	}
	rows, err := w.DB.QueryContext(t.Context(), `SELECT user_id, delivery_id FROM gamification_logs ORDER BY user_id, number`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	last := map[string]int{}
	for rows.Next() {
		var user, id string
		if err := rows.Scan(&user, &id); err != nil {
			t.Fatal(err)
		}
		at, ok := place[id]
		if !ok {
			continue
		}
		if at < last[user] {
			t.Fatalf("delivery %d of user %s was decided behind %d", at, user, last[user])
		}
		last[user] = at
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// A key that cannot be opened holds up its webhook alone. It goes on by itself once the
// key opens.
func TestAMissingKeyHoldsUpItsWebhookAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 1)
	locked, other := w.hook(t, "red", "Locked", "add"), w.hook(t, "red", "Other", "add")
	w.keyless.Store("Locked", true)
	w.startOwner(t, 1)
	ids := append(locked.send(t, 1, users[0]), locked.send(t, 2, users[0])...)
	other.send(t, 1, users[0])
	w.awaitSettled(t, 1)
	w.awaitParked(t, 2)
	w.awaitAcked(t)
	w.keyless.Delete("Locked")
	ids = append(ids, locked.send(t, 3, users[0])...)
	w.awaitSettled(t, 4)
	w.wantInOrder(t, ids)
}

// A delivery that an older applier could not read goes on once a newer one owns its
// partition: the stream has its payload.
func TestADeliveryOfANewerFormatGoesOnAfterAnUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 1)
	hook := w.hook(t, "red", "Shop", "add")
	w.keyless.Store("Shop", true)
	older := w.startOwner(t, 1)
	ids := append(hook.send(t, 1, users[0]), hook.send(t, 2, users[0])...)
	w.awaitParked(t, 2)
	w.awaitAcked(t)
	older.stop()
	w.Exec(`UPDATE parked SET newer = true, payload = '', headers = '[]', reason = 'newer_format'`)
	w.keyless.Delete("Shop")
	w.startOwner(t, 1)
	w.awaitSettled(t, 2)
	w.wantInOrder(t, ids)
}

// A user whose row is locked by others holds up nobody else.
func TestALockedUserHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 2)
	earn, spend := w.hook(t, "red", "Earn", "add"), w.hook(t, "red", "Spend", "subtract")
	tx, err := w.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it has ended
	if _, err := tx.ExecContext(t.Context(), `SELECT 1 FROM users WHERE email = $1 FOR UPDATE`, users[0]); err != nil {
		t.Fatal(err)
	}
	w.startOwner(t, 2)
	ids := earn.send(t, 5, users[0])
	earn.send(t, 5, users[1])
	w.awaitSettled(t, 1)
	w.awaitParked(t, 1)
	ids = append(ids, spend.send(t, 5, users[0])...)
	w.awaitParked(t, 2)
	w.awaitAcked(t)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, earn.send(t, 7, users[0])...)
	w.awaitSettled(t, 4)
	if n := w.failed(t); n != 0 {
		t.Errorf("%d failed", n)
	}
	w.wantInOrder(t, ids)
}

// Whichever engine owns the partition, each delivery takes effect once, and in order.
func TestAPartitionChangesHands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 20)
	earn, spend := w.hook(t, "red", "Earn", "add"), w.hook(t, "red", "Spend", "subtract")
	done := make(chan struct{})
	sent := 0
	go func() {
		defer close(done)
		for range 40 {
			for _, user := range users {
				earn.send(t, 1, user)
				spend.send(t, 1, user)
				sent += 2
			}
		}
	}()
	engines := []owner{w.start(t, 2), w.start(t, 2), w.start(t, 2)}
	p := w.partitions[0]
	for i := 0; ; i++ {
		select {
		case <-done:
			w.awaitSettled(t, sent)
			if n := w.failed(t); n != 0 {
				t.Errorf("%d of %d failed", n, sent)
			}
			return
		case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond):
		}
		now, before := engines[i%3], engines[(i+2)%3]
		if i%2 == 0 { // in order: finished first
			before.Drop(t.Context(), p)
			now.Take(w.lease(t, p), 0)
			continue
		}
		now.Take(w.lease(t, p), 0) // the one before does not know yet
		before.Drop(expired(t), p)
	}
}

// expired is a context that waits for nothing.
func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
