package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// newPendingWorld has appliers, and everything is overdue after two seconds.
func newPendingWorld(t *testing.T) (*world, *hook) {
	t.Helper()
	w := newConsoleStack(t, "PENDING_LIMIT=2s").newWorld(t, "ann")
	return w, w.hook(t, "shop", "active", userLine+addCoins)
}

// awaitPending waits until a service shows so many deliveries as overdue, and
// the oldest as that old.
func (w *world) awaitPending(t *testing.T, part string, overdue int, isOld func(seconds float64) bool) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		n, err := w.metric(ctx, part, "coinhook_pending_overdue_deliveries")
		if err != nil {
			return err
		}
		age, err := w.metric(ctx, part, "coinhook_pending_oldest_seconds")
		if err == nil && (n != float64(overdue) || !isOld(age)) {
			err = fmt.Errorf("%s shows %v overdue, want %d, and the oldest as %v s old", part, n, overdue, age)
		}
		return err
	})
}

func beyondTheLimit(seconds float64) bool { return seconds >= 2 }
func none(seconds float64) bool           { return seconds == 0 }

// warnings counts those that all services together have logged, by delivery.
func (w *world) warnings(t *testing.T) map[string]int {
	t.Helper()
	count := map[string]int{}
	for _, path := range w.logFiles() {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(content) {
			var fields struct {
				Message    string `json:"message"`
				DeliveryID string `json:"delivery_id"`
			}
			if json.Unmarshal(line, &fields) == nil && fields.Message == "delivery is pending for too long" {
				count[fields.DeliveryID]++
			}
		}
	}
	return count
}

// ingressWarns reports an error until the ingress has warned of a number of deliveries.
func (w *world) ingressWarns(why string) error {
	content, err := os.ReadFile(filepath.Join(w.Dir(), "logs", "ingress.log"))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(content) {
		var fields struct {
			Message, Why string
			Deliveries   int
		}
		if json.Unmarshal(line, &fields) == nil && fields.Message == "deliveries are pending for too long" && fields.Why == why && fields.Deliveries > 0 {
			return nil
		}
	}
	return errors.New("the ingress has not warned")
}

// awaitWarnings waits until each was warned of, once.
func (w *world) awaitWarnings(t *testing.T, ids []string) {
	t.Helper()
	want := map[string]int{}
	for _, id := range ids {
		want[id] = 1
	}
	eventually(t, func(context.Context) error {
		if got := w.warnings(t); !maps.Equal(got, want) {
			return fmt.Errorf("warnings by delivery = %v, want %v", got, want)
		}
		return nil
	})
}

func TestWhatIsPendingForTooLongIsSeenWhileAllAppliersAreStopped(t *testing.T) {
	t.Parallel()
	w, h := newPendingWorld(t)
	settled := h.deliver(t, coinsBody("ann", "1"))
	w.awaitRows(t, settled)
	const sent = 5
	var ids []string
	w.withAppliersStopped(t, func() {
		for range sent {
			ids = append(ids, h.deliver(t, coinsBody("ann", "2")))
		}
		w.awaitPending(t, devstack.Ingress, sent, beyondTheLimit)
		// The console names them, the ingress warns of their number.
		w.awaitWarnings(t, ids)
		eventually(t, func(context.Context) error { return w.ingressWarns("no applier is asking for deliveries") })

		young := h.deliver(t, coinsBody("ann", "2"))
		list := w.list(t)
		var got []string
		for _, d := range list {
			got = append(got, d.ID)
		}
		if diff := cmp.Diff(append(append([]string{}, ids...), young, settled), got); diff != "" {
			t.Errorf("the list (-want +got):\n%s", diff)
		}
		why := "no applier is asking for deliveries"
		for i, d := range list[:sent] {
			if diff := cmp.Diff(&pendingJSON{Overdue: true, State: "queued", Why: &why}, d.Pending); diff != "" {
				t.Errorf("pending %d: %s", i, diff)
			}
		}
		if last := list[len(list)-1]; last.Pending != nil {
			t.Errorf("the settled one is %+v", last.Pending)
		}
		table := w.coinhook(t, "deliveries", "list", "--community", w.newWorld(t, "bob").community)
		head := regexp.MustCompile(`^Oldest pending of all webhooks: [\dms ]+ \(` + ids[0] + `\)\. \d are older than 2s: ` + why + `\.\nStart an applier`)
		if table.code != 0 || !head.MatchString(table.stdout) {
			t.Errorf("the list begins with\n%s%s", table.stdout, table.stderr)
		}
		ids = append(ids, young)
		w.awaitPending(t, devstack.Ingress, len(ids), beyondTheLimit)
		w.awaitWarnings(t, ids)
	})
	w.awaitRows(t, ids...)
	for _, part := range append(w.appliers(), devstack.Ingress) {
		w.awaitPending(t, part, 0, none)
	}
	w.wantNonePending(t)
	w.awaitWarnings(t, ids)
	if table := w.coinhook(t, "deliveries", "list"); strings.Contains(table.stdout, "pending") {
		t.Errorf("with nothing pending the list is\n%s", table.stdout)
	}
	w.wantBalances(t, "ann", "13", "0")
}

func TestWhatIsPendingForTooLongIsSeenWhilePostgreSQLIsAway(t *testing.T) {
	t.Parallel()
	w, h := newPendingWorld(t)
	w.awaitRows(t, h.deliver(t, coinsBody("ann", "1")))
	w.stopParts(t, devstack.Postgres)
	var ids []string
	for range 3 {
		ids = append(ids, h.deliver(t, coinsBody("ann", "2")))
	}
	for _, part := range append(w.appliers(), devstack.Ingress) {
		w.awaitPending(t, part, len(ids), beyondTheLimit)
	}
	w.awaitWarnings(t, ids)
	var list []deliveryJSON
	eventually(t, func(context.Context) error {
		list = w.list(t, "--status", "pending")
		if len(list) != len(ids) || list[0].ID != ids[0] || list[0].Pending.State != "retried" {
			return fmt.Errorf("pending are %+v", list)
		}
		return nil
	})
	if p := list[0].Pending; !p.Overdue || p.Since == nil || p.Attempts == nil || p.Why == nil || !strings.Contains(*p.Why, "PostgreSQL: ") {
		t.Errorf("the oldest is %+v, want it tried again since when, how often and why", p)
	}
	for _, d := range list[1:] { // tried again as well, or behind it
		if d.Pending.Why == nil || !strings.Contains(*d.Pending.Why, "PostgreSQL: ") {
			t.Errorf("%s is %+v, want PostgreSQL named", d.ID, d.Pending)
		}
	}
	for _, args := range [][]string{{"list", "--status", "pending"}, {"show", ids[0]}} {
		got := w.coinhook(t, append([]string{"deliveries"}, args...)...)
		if got.code != 0 || !strings.Contains(got.stdout, "tried again since") || !strings.Contains(got.stderr, "PostgreSQL does not answer") {
			t.Errorf("%v: exit %d\n%s%s", args, got.code, got.stdout, got.stderr)
		}
	}
	w.startParts(t, devstack.Postgres)
	w.awaitRows(t, ids...)
	for _, part := range append(w.appliers(), devstack.Ingress) {
		w.awaitPending(t, part, 0, none)
	}
	w.wantNonePending(t)
	w.awaitWarnings(t, ids)
	w.wantBalances(t, "ann", "7", "0")
}

// Somebody else's lock holds up the transactions: no error, and no outcome.
func TestAnApplierThatSettlesNothingIsNotReady(t *testing.T) {
	t.Parallel()
	w, h := newPendingWorld(t)
	w.awaitRows(t, h.deliver(t, coinsBody("ann", "1")))
	unlock := w.holdWrites(t)
	var ids []string
	for range 5 {
		ids = append(ids, h.deliver(t, coinsBody("ann", "2")))
	}
	applier := w.appliers()[0]
	w.awaitReadyz(t, applier, http.StatusServiceUnavailable, `"check":"settling"`)
	w.awaitReadyz(t, applier, http.StatusServiceUnavailable, "while 5 deliveries are pending")
	// It accepts all the same.
	if err := says(withDeadline(t), w.OpsURL(devstack.Ingress), http.StatusOK, "ready"); err != nil {
		t.Error(err)
	}
	for _, part := range []string{applier, devstack.Ingress} {
		eventually(t, func(ctx context.Context) error {
			still, err := w.metric(ctx, part, "coinhook_settling_stalled_seconds")
			if err != nil {
				return err
			}
			n, err := w.metric(ctx, part, "coinhook_pending_deliveries")
			if err == nil && (still < 2 || n != 5) {
				err = fmt.Errorf("%s shows %v s and %v deliveries", part, still, n)
			}
			return err
		})
	}
	unlock()
	w.awaitRows(t, ids...)
	eventually(t, func(ctx context.Context) error { return w.Ready(ctx, applier) })
	w.wantBalances(t, "ann", "11", "0")
}
