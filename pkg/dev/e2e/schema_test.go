package e2e

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// A service whose schema does not fit says so, settles nothing, and begins by itself.
func TestAServiceSaysThatTheSchemaDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newStackOf(t, devstack.Options{Appliers: 1}).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	w.awaitRows(t, h.deliver(t, coinsBody("ann", "1")))
	delivered := 1
	for _, tc := range []struct{ breaks, mends, want string }{
		{
			"UPDATE schema_compatibility SET least_reader = least_reader + 1000",
			"UPDATE schema_compatibility SET least_reader = least_reader - 1000", "the tables are too new",
		},
		{
			"UPDATE schema_versions SET is_applied = NOT is_applied WHERE version_id > 5",
			"UPDATE schema_versions SET is_applied = NOT is_applied WHERE version_id > 5", "the tables are too old",
		},
	} {
		w.execute(t, tc.breaks)
		for _, name := range w.appliers() {
			w.awaitReadyz(t, name, http.StatusServiceUnavailable, tc.want)
		}
		ids := w.deliverUntilHeld(t, h)
		delivered += len(ids)
		started := w.service(t, binDir, "applier", "started-meanwhile")
		started.start(t)
		eventually(t, func(ctx context.Context) error {
			return says(ctx, "http://"+started.ops, http.StatusServiceUnavailable, tc.want)
		})
		w.awaitReadyz(t, devstack.Ingress, http.StatusOK, "ready")
		if d := w.outcomeRows(t, ids[len(ids)-1]); d != 0 {
			t.Errorf("%s: the last delivery was settled", tc.want)
		}
		if got := w.coinhook(t, "users", "list"); got.code != 1 || !strings.Contains(got.stderr, tc.want) {
			t.Errorf("a command: exit %d, %s", got.code, got.stderr)
		}
		w.execute(t, tc.mends)
		w.awaitRows(t, ids...)
		for _, name := range w.appliers() {
			w.awaitReadyz(t, name, http.StatusOK, "ready")
		}
		eventually(t, func(ctx context.Context) error { return says(ctx, "http://"+started.ops, http.StatusOK, "ready") })
		started.stop(t)
	}
	w.wantBalances(t, "ann", strconv.Itoa(delivered), "0")
	w.checkLogs(t)
}

// deliverUntilHeld delivers until an applier retries: that a schema fits may be known
// from a second before.
func (w *world) deliverUntilHeld(t *testing.T, h *hook) (ids []string) {
	t.Helper()
	retried := func(ctx context.Context) (sum float64, err error) {
		for _, name := range w.appliers() {
			n, err := w.metric(ctx, name, "coinhook_settle_retried_batches_total")
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	}
	before, err := retried(withDeadline(t))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		ids = append(ids, h.deliver(t, coinsBody("ann", "1")))
		n, err := retried(ctx)
		if err == nil && n == before {
			err = errors.New("no applier retries")
		}
		return err
	})
	return append(ids, h.deliver(t, coinsBody("ann", "1")))
}

func (s *stack) execute(t *testing.T, statement string) {
	t.Helper()
	if _, err := s.db.ExecContext(withDeadline(t), statement); err != nil {
		t.Fatal(err)
	}
}

func (s *stack) outcomeRows(t *testing.T, id string) (n int) {
	t.Helper()
	if err := s.db.QueryRowContext(withDeadline(t), "SELECT count(*) FROM outcomes WHERE delivery_id = $1", id).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
