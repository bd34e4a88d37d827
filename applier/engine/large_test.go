package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Deliveries of a thousand changes each would make a transaction that the database ends
// for taking too long, and each try would be ended likewise. They are settled in parts,
// and so are those of others in the same lane.
func TestDeliveriesOfManyChangesAreSettledInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	large, other := w.eachHook(t), w.hook(t, "other", "other", "add")
	user, neighbour := w.addUsers("default", 1)[0], w.addUsers("other", 1)[0]
	const deliveries = 100
	for range deliveries {
		appliertest.Publish(t, w.publisher, large.ofElements(user, 1000))
	}
	other.send(t, 1, neighbour)
	e := w.startStore(t, 1, postgres.Options{Name: "engine", Settling: true, MaxConns: 3, StatementTimeout: 500 * time.Millisecond},
		func(store *postgres.Store) applier.ParkingStore { return store })
	e.Take(w.lease(t, w.partitions[0]), 0)
	w.awaitSettled(t, deliveries+1)
	if n := w.Number(`SELECT amount FROM balances WHERE currency = 'coins' AND user_id = (SELECT id FROM users WHERE email_key = $1)`, user); n != 1000*deliveries {
		t.Errorf("the balance is %d, want %d", n, 1000*deliveries)
	}
}

// eachHook saves a webhook that changes coins for each element of an array.
func (w *world) eachHook(t *testing.T) *hook {
	t.Helper()
	return w.saved(t, `name: Orders
state: active
user: {by: email, path: user}
mappings: [{currency: coins, operator: add, each: items, value: {path: n}}]
`)
}

func (h *hook) ofElements(user string, n int) delivery.Delivery {
	d := h.delivery(0, user)
	d.Body = fmt.Appendf(nil, `{"user": %q, "items": [%s]}`, user, strings.TrimSuffix(strings.Repeat(`{"n":1},`, n), ","))
	return d
}
