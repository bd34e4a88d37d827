package e2e

import (
	"strconv"
	"sync"
	"testing"
)

// revertJSON is what `deliveries revert` prints.
type revertJSON struct {
	Plan struct {
		Selected        int
		AlreadyReverted int        `json:"already_reverted"`
		LeftOut         []struct{} `json:"left_out"`
		Balances        []struct {
			User                    userRefJSON
			Currency, Before, After string
		}
	}
	Result *struct {
		Reverted        int
		AlreadyReverted int `json:"already_reverted"`
	}
}

// A thousand deliveries were applied by a wrong mapping. They are reverted twice
// at once, while others of the same users are being settled: what the others did
// is what is left.
func TestAThousandDeliveriesAreRevertedOnceBesideOthers(t *testing.T) {
	t.Parallel()
	const deliveries, users = 1000, 7
	w := sharedStack(t).newWorld(t)
	w.addNumbered(t, users)
	wrong := w.hook(t, "wrong", "active", userLine+addCoins)
	right := w.hook(t, "right", "active", userLine+addCoins)
	wrong.deliverMany(t, deliveries, users)
	w.awaitCount(t, deliveries, "SELECT count(*) FROM outcomes WHERE community = $1 AND outcome = 'applied'")

	command := []string{"deliveries", "revert", "--community", w.community, "--webhook", "wrong", "--version", "1", "--since", "1h"}
	var plan revertJSON
	w.query(t, &plan, append(command, "--dry-run")...)
	if plan.Plan.Selected != deliveries || len(plan.Plan.Balances) != users || plan.Result != nil {
		t.Fatalf("planned %+v", plan)
	}
	for _, b := range plan.Plan.Balances {
		if b.After != "0" || b.Before == "0" || b.Currency != "coins" {
			t.Errorf("planned %+v", b)
		}
	}
	var results [2]revertJSON
	var running sync.WaitGroup
	running.Go(func() { right.deliverMany(t, deliveries, users) })
	for i := range results {
		running.Go(func() { w.query(t, &results[i], command...) })
	}
	running.Wait()
	reverted := 0
	for _, r := range results {
		if r.Result != nil {
			reverted += r.Result.Reverted
		}
		if len(r.Plan.LeftOut) > 0 {
			t.Errorf("%d left out", len(r.Plan.LeftOut))
		}
	}
	if reverted != deliveries {
		t.Errorf("%d of %d reverted: %+v", reverted, deliveries, results)
	}
	w.awaitCount(t, 2*deliveries, "SELECT count(*) FROM outcomes WHERE community = $1 AND outcome = 'applied'")
	var again revertJSON
	if w.query(t, &again, command...); again.Plan.Selected != 0 || again.Plan.AlreadyReverted != deliveries || again.Result != nil {
		t.Errorf("again %+v", again)
	}
	for u := range users {
		want := 0
		for n := u; n < deliveries; n += users {
			want += n + 1
		}
		w.wantBalances(t, userName(u), strconv.Itoa(want), "0")
	}
	w.checkLogs(t)
}

// deliverMany sends deliveries of 1, 2, 3 coins and so on, to the users in turn.
func (h *hook) deliverMany(t *testing.T, deliveries, users int) {
	t.Helper()
	next := make(chan int)
	var sending sync.WaitGroup
	for range 16 {
		sending.Go(func() {
			for n := range next {
				h.deliver(t, coinsBody(userName(n%users), strconv.Itoa(n+1)))
			}
		})
	}
	for n := range deliveries {
		next <- n
	}
	close(next)
	sending.Wait()
}
