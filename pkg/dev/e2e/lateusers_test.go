package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// executionsJSON is how a delivery ran each time.
type executionsJSON struct {
	deliveryJSON
	Executions []struct {
		Cause       *string `json:"cause"`
		RequestedBy *string `json:"requested_by"`
		Effect      bool    `json:"effect"`
		Status      string  `json:"status"`
	} `json:"executions"`
}

func (w *world) wantUserNotFound(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if d := w.settled(t, id); d.Status != "failed" || d.Reason != "user_not_found" || d.Replays != 0 {
			t.Errorf("%s is %s %s after %d replays, want user_not_found after none", id, d.Status, d.Reason, d.Replays)
		}
	}
}

// awaitApplied waits until deliveries have taken effect.
func (w *world) awaitApplied(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		eventually(t, func(ctx context.Context) error {
			var outcome string
			err := w.db.QueryRowContext(ctx, "SELECT coalesce(outcome, reason) FROM outcomes WHERE delivery_id = $1", id).Scan(&outcome)
			if err == nil && outcome != "applied" {
				err = fmt.Errorf("%s is %s", id, outcome)
			}
			return err
		})
	}
}

func TestDeliveriesRunAgainByThemselvesOnceTheirUsersAreThere(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t)
	asks := w.hook(t, "asks", "active", userLine+"late_users: {max_age: 1d, max_deliveries: 3}\n"+addCoins)
	silent := w.hook(t, "silent", "active", userLine+addCoins)
	var alices, bobs []string
	for _, amount := range []string{"1", "2", "4", "8", "16"} {
		alices = append(alices, asks.deliver(t, coinsBody("Alice", amount)))
	}
	nobodys := asks.deliver(t, coinsBody("nobody", "1"))
	others := silent.deliver(t, coinsBody("alice", "100"))
	for _, amount := range []string{"3", "5"} { // they are the last that a sweep finds
		bobs = append(bobs, asks.deliver(t, coinsBody("bob", amount)))
	}
	w.wantUserNotFound(t, append(append([]string{nobodys, others}, alices...), bobs...)...)

	w.addUsers(t, "alice", "bob")
	w.awaitApplied(t, append(append([]string{}, alices[:3]...), bobs...)...)
	w.wantNonePending(t)
	w.wantUserNotFound(t, append([]string{nobodys, others}, alices[3:]...)...)
	w.wantBalances(t, "alice", "7", "0")
	w.wantBalances(t, "bob", "8", "0")
	// Two appliers share the stream, so that the order is that of the messages.
	var order []string
	rows, err := w.db.QueryContext(withDeadline(t), `
		SELECT e.delivery_id FROM executions e JOIN outcomes o ON o.delivery_id = e.delivery_id JOIN users u ON u.id = o.user_id
		WHERE u.community = $1 AND u.username = 'alice' AND e.cause = 'user_found'
		ORDER BY e.stream_sequence, e.stream_index`, w.community)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		order = append(order, id)
	}
	if err := rows.Err(); err != nil || !slices.Equal(order, alices[:3]) {
		t.Errorf("not the oldest first: %v, want %v (%v)", order, alices[:3], err)
	}
	w.checkLogs(t)

	for _, id := range append(append([]string{}, alices[:3]...), bobs...) {
		var d executionsJSON
		w.query(t, &d, "deliveries", "show", id)
		if d.Status != "success" || d.Replays != 1 || len(d.Executions) != 2 {
			t.Errorf("%s is %s after %d replays, %+v", id, d.Status, d.Replays, d.Executions)
			continue
		}
		again := d.Executions[1]
		if again.Cause == nil || *again.Cause != "user_found" || again.RequestedBy == nil || *again.RequestedBy != "coinhook" ||
			!again.Effect || again.Status != "success" || d.Executions[0].Status != "failed" {
			t.Errorf("%s ran as %+v", id, d.Executions)
		}
	}

	// A webhook that asks later has what waits by then run, too.
	silent.apply(t, w.yaml("silent", "active", userLine+"late_users: {}\n"+addCoins))
	w.awaitApplied(t, others)
	w.wantBalances(t, "alice", "107", "0")
}

func TestUsersThatComeLateAreServedOnceWhateverIsKilled(t *testing.T) {
	t.Parallel()
	const users, each = 30, 20
	w := newStack(t).newWorld(t)
	h := w.hook(t, "asks", "active", userLine+"late_users: {}\n"+addCoins)
	want := make([]int, users)
	for n := range users * each {
		h.deliver(t, coinsBody(userName(n%users), strconv.Itoa(n+1)))
		want[n%users] += n + 1
	}
	w.awaitCount(t, users*each, "SELECT count(*) FROM outcomes WHERE community = $1 AND reason = 'user_not_found'")
	applied := "SELECT count(*) FROM outcomes WHERE community = $1 AND outcome = 'applied'"
	// Users come in five parts, and something dies after each.
	for i, part := range []string{"applier-1", "applier-2", devstack.NATS, "applier-1", devstack.Postgres} {
		names := make([]string, users/5)
		for n := range names {
			names[n] = userName(i*len(names) + n)
		}
		w.addUsers(t, names...)
		w.awaitCount(t, i*len(names)*each+1, applied)
		w.kill(t, part)
	}
	w.awaitCount(t, users*each, applied)
	w.wantNonePending(t)
	var wrong int
	if err := w.db.QueryRowContext(withDeadline(t), `
		SELECT count(*) FROM outcomes o WHERE community = $1 AND (replays <> 1
			OR (SELECT count(*) FROM gamification_logs g WHERE g.delivery_id = o.delivery_id) <> 1
			OR (SELECT count(*) FROM executions e WHERE e.delivery_id = o.delivery_id AND cause = 'user_found') <> 1
			OR EXISTS (SELECT FROM dead_letters d WHERE d.delivery_id = o.delivery_id))`, w.community).Scan(&wrong); err != nil {
		t.Fatal(err)
	}
	if wrong > 0 {
		t.Errorf("%d deliveries were not replayed once", wrong)
	}
	for u, balance := range want {
		w.wantBalances(t, userName(u), strconv.Itoa(balance), "0")
	}
	w.checkLogs(t)
}
