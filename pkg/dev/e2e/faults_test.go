package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

func newDefaultLoad(t *testing.T) *load {
	t.Helper()
	return newLoad(t, newStack(t), setting(t, "COINHOOK_E2E_DELIVERIES", 3000), setting(t, "COINHOOK_E2E_USERS", 200))
}

func TestEveryDeliveryTakesEffectOnceWhateverIsKilled(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string][]string{
		"appliers_and_the_ingress": {"applier-1", devstack.Ingress, "applier-2"},
		"the_broker":               {devstack.NATS},
		"the_database":             {devstack.Postgres},
		"any_of_them":              {devstack.Postgres, "applier-2", devstack.NATS, devstack.Ingress, "applier-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newDefaultLoad(t)
			times := len(parts) * max(1, 6/len(parts), l.deliveries/1000/len(parts))
			l.run(t, times, func(i int) { l.killAndAwait(t, parts[i%len(parts)]) })
			l.check(t)
		})
	}
}

// killAndAwait is kill for a goroutine that is not the test's own.
func (s *stack) killAndAwait(t *testing.T, name string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := errors.Join(s.Kill(name), s.Ready(ctx, name)); err != nil {
		t.Errorf("kill %s: %v", name, err)
	}
}

func TestDeliveriesStayPendingWhilePostgreSQLIsAway(t *testing.T) {
	t.Parallel()
	l := newLoad(t, newStack(t), 300, 20)
	l.run(t, 1, func(int) {
		if err := l.StopPart(withDeadline(t), devstack.Postgres); err != nil {
			t.Error(err)
		}
	})
	l.deliveries = 700
	l.run(t, 0, nil) // all accepted without a database
	back := time.Now()
	l.startParts(t, devstack.Postgres)
	l.check(t)
	var after int
	err := l.db.QueryRowContext(withDeadline(t),
		"SELECT count(*) FROM outcomes WHERE community = $1 AND finished_at > $2", l.community, back).Scan(&after)
	if err != nil {
		t.Fatal(err)
	}
	if after < 400 {
		t.Errorf("%d were settled after PostgreSQL came back, want the 400 at least that were sent without it", after)
	}
}

// holdWrites has appliers wait inside of their transactions, by a lock of the test's on
// a table that they write to.
func (w *world) holdWrites(t *testing.T) (unlock func()) {
	t.Helper()
	tx, err := w.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() }) // it may have ended
	if _, err := tx.ExecContext(withDeadline(t), "LOCK TABLE gamification_logs IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// awaitBlocked waits until a transaction of an applier waits for the lock.
func (s *stack) awaitBlocked(t *testing.T) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		var n int
		err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO gamification_logs%'").Scan(&n)
		if err == nil && n == 0 {
			err = errors.New("no applier waits for a lock")
		}
		return err
	})
}

func TestAnApplierKilledInsideItsTransactionLosesNothing(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	unlock := w.holdWrites(t)
	var ids []string
	for range 50 {
		ids = append(ids, h.deliver(t, coinsBody("ann", "2")))
	}
	w.awaitBlocked(t)
	for _, name := range w.appliers() {
		w.kill(t, name)
	}
	unlock()
	w.awaitRows(t, ids...)
	w.wantNonePending(t)
	w.wantBalances(t, "ann", "100", "0")
	w.checkLogs(t)
}

// The broker never learns that the delivery was settled: the next owner reads it again.
func TestADeliveryWhoseFloorIsLostIsKnownByItsRow(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	unlock := w.holdWrites(t)
	id := h.deliver(t, coinsBody("ann", "5"))
	w.awaitBlocked(t)
	if err := w.Pause(devstack.NATS); err != nil {
		t.Fatal(err)
	}
	unlock()
	w.awaitRows(t, id)
	// The broker is last: it reads nothing while it stands still, and an applier that found
	// it again would write the floor.
	for _, name := range append(w.appliers(), devstack.NATS) {
		if err := w.Kill(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Ready(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		known := 0.0
		for _, name := range w.appliers() {
			n, err := w.metric(ctx, name, "coinhook_applier_known_deliveries_total")
			if err != nil {
				return err
			}
			known += n
		}
		if known < 1 {
			return fmt.Errorf("the appliers were given %v deliveries again", known)
		}
		return nil
	})
	w.wantNonePending(t)
	w.wantBalances(t, "ann", "5", "0")
	w.checkLogs(t)
}
