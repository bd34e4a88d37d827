package engine_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// sluggish is a store that settles nothing before something was parked, or a second has
// passed. Parked deliveries of users come once look is closed.
type sluggish struct {
	*postgres.Store
	settling, parked func() // the first call is about to begin, or has ended
	wait, look       chan struct{}
}

func newSluggish(store *postgres.Store, settling func()) *sluggish {
	s := &sluggish{Store: store, settling: sync.OnceFunc(settling), wait: make(chan struct{}), look: make(chan struct{})}
	s.parked = sync.OnceFunc(func() { close(s.wait) })
	return s
}

func (s *sluggish) Settle(ctx context.Context, batch []applier.Item) ([]applier.Settlement, error) {
	s.settling()
	select {
	case <-s.wait:
	case <-time.After(time.Second):
	}
	return s.Store.Settle(ctx, batch)
}

func (s *sluggish) Park(ctx context.Context, batch []applier.Parking) error {
	defer s.parked()
	return s.Store.Park(ctx, batch)
}

func (s *sluggish) ParkedOfUsers(ctx context.Context, p delivery.Partition, limit int) ([]delivery.Delivery, error) {
	select {
	case <-s.look:
	case <-ctx.Done():
	}
	return s.Store.ParkedOfUsers(ctx, p, limit)
}

// parkFor has deliveries parked for their webhook, and the first of them for its user.
func (h *hook) parkFor(t *testing.T, n int, user string) (ids []delivery.ID) {
	t.Helper()
	h.set(t, webhook.Paused)
	e := h.world.startOwner(t, 1)
	for range n {
		ids = append(ids, h.send(t, 1, user)...)
	}
	h.world.awaitParked(t, n)
	h.world.awaitAcked(t)
	e.stop()
	h.world.Exec(`UPDATE parked SET reason = 'user_locked', user_id = (SELECT id FROM users WHERE email = $1) WHERE delivery_id = $2`, user, ids[0].String())
	h.set(t, webhook.Active)
	return ids
}

// The deliveries of a user keep their order when one waits for the user, and later ones
// for the webhook.
func TestDeliveriesThatWaitForTheirUserKeepTheirOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	user := w.addUsers("red", 1)[0]
	hook := w.hook(t, "red", "Shop", "add")
	ids := hook.parkFor(t, 2, user)
	e := w.startWith(t, 1, func(store *postgres.Store) applier.ParkingStore {
		s := newSluggish(store, func() {})
		close(s.look)
		return s
	})
	e.Take(w.lease(t, w.partitions[0]), 0)
	w.awaitSettled(t, 2)
	w.wantInOrder(t, ids)
}

// A webhook is paused while a delivery of it waits for its user, and a later one is in a
// lane.
func TestDeliveriesOfAWebhookThatIsPausedKeepTheirOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	user := w.addUsers("red", 1)[0]
	hook := w.hook(t, "red", "Shop", "add")
	ids := hook.parkFor(t, 1, user)
	inLane := make(chan struct{})
	var s *sluggish
	e := w.startWith(t, 1, func(store *postgres.Store) applier.ParkingStore {
		s = newSluggish(store, func() { close(inLane) })
		return s
	})
	ids = append(ids, hook.send(t, 1, user)...)
	e.Take(w.lease(t, w.partitions[0]), 0)
	<-inLane
	hook.set(t, webhook.Paused)
	close(s.look)
	appliertest.Eventually(t, "the first waits for its webhook", func() bool {
		return w.Number(`SELECT count(*) FROM parked WHERE user_id IS NULL`) > 0
	})
	hook.set(t, webhook.Active)
	w.awaitSettled(t, 2)
	w.wantInOrder(t, ids)
}

// Once its other deliveries are out, a webhook goes on although one of its users is
// locked: the deliveries of others are not parked any more.
func TestAWebhookIsOutAlthoughOneOfItsUsersIsLocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 2)
	hook := w.hook(t, "red", "Shop", "add")
	hook.set(t, webhook.Paused)
	tx, err := w.DB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it is the end of the test
	if _, err := tx.ExecContext(t.Context(), `SELECT 1 FROM users WHERE email = $1 FOR UPDATE`, users[0]); err != nil {
		t.Fatal(err)
	}
	w.startOwner(t, 1)
	hook.send(t, 1, users...)
	w.awaitParked(t, 2)
	hook.set(t, webhook.Active)
	settled := 1
	appliertest.Eventually(t, "a delivery of the other user is not parked", func() bool {
		id := hook.send(t, 1, users[1])[0]
		settled++
		w.awaitSettled(t, settled)
		_, wasParked := w.wasParked.Load(id)
		return !wasParked
	})
}

// overlapping is a store that closes overlap when two transactions run at the same time.
type overlapping struct {
	*postgres.Store
	running atomic.Int32
	once    sync.Once
	overlap chan struct{}
}

func (s *overlapping) Settle(ctx context.Context, batch []applier.Item) ([]applier.Settlement, error) {
	if s.running.Add(1) > 1 {
		s.once.Do(func() { close(s.overlap) })
	}
	defer s.running.Add(-1)
	return s.Store.Settle(ctx, batch)
}

// Many deliveries of a resumed webhook are settled by several lanes. Each user's keep their
// order, also before those that come meanwhile.
func TestManyParkedDeliveriesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 10)
	hook := w.hook(t, "red", "Shop", "add")
	hook.set(t, webhook.Paused)
	ids := hook.sendMany(t, 600, users)
	e := w.startOwner(t, 1)
	w.awaitParked(t, len(ids))
	w.awaitAcked(t)
	e.stop()
	hook.set(t, webhook.Active)
	s := &overlapping{overlap: make(chan struct{})}
	e = w.startWith(t, 4, func(store *postgres.Store) applier.ParkingStore {
		s.Store = store
		return s
	})
	e.Take(w.lease(t, w.partitions[0]), 0)
	select {
	case <-s.overlap:
	case <-time.After(40 * time.Second):
		t.Fatal("one lane settles all of it")
	}
	for range 20 {
		ids = append(ids, hook.send(t, 1, users...)...)
	}
	w.awaitSettled(t, len(ids))
	w.wantInOrder(t, ids)
}
