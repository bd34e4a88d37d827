package postgres_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// parkingWorld is a stream with an owner that settles it: what the engine does, in any
// order of steps.
type parkingWorld struct {
	*rapid.T
	tb     testing.TB
	s      *postgres.Store
	db     *sql.DB
	lease  *applier.Lease
	emails []string

	stream  []applier.Item
	at      int // the first that has no row
	byID    map[delivery.ID]applier.Item
	locks   map[string]func()
	paused  map[string]bool // webhooks
	waiting map[string]bool // webhooks with parked rows
}

var parkingHooks = []string{"wh_a", "wh_b", "wh_paused"}

// TestParkingKeepsEachUsersOrder: whatever is locked, paused, redelivered, handed to a
// new owner or tried in between, each delivery takes effect once. Those of one user do
// so in the order of the stream, except that a webhook that was paused keeps an order
// of its own.
func TestParkingKeepsEachUsersOrder(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true, MaxConns: 4})
	s.SetPatience(0)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		execute(t, db, "DELETE FROM parked") // of a run that failed
		w := &parkingWorld{
			T: rt, tb: t, s: s, db: db, lease: leased(t, db, 0, int64(run)), byID: map[delivery.ID]applier.Item{},
			locks: map[string]func(){}, paused: map[string]bool{}, waiting: map[string]bool{},
		}
		for n := range 3 {
			w.emails = append(w.emails, fmt.Sprintf("user%d-%d@x", run, n))
		}
		addUsers(t, s, w.emails...)
		defer w.unlockAll()
		rt.Repeat(map[string]func(*rapid.T){
			"accept":    w.accept,
			"feed":      w.feed,
			"feed more": w.feed,
			"redeliver": func(rt *rapid.T) { w.at = rapid.IntRange(0, w.at).Draw(rt, "from") },
			"lock":      w.lock,
			"unlock":    func(*rapid.T) { w.unlockAll() },
			"pause":     func(*rapid.T) { w.pause(true) },
			"resume":    func(*rapid.T) { w.pause(false) },
			"bite":      w.biteWebhook,
			"retry":     w.retryUsers,
			"take over": func(*rapid.T) { w.takeOver() },
		})
		w.drain()
	})
	checkLedger(t, db)
}

// accept adds deliveries to the stream.
func (w *parkingWorld) accept(rt *rapid.T) {
	for range rapid.IntRange(1, 6).Draw(rt, "deliveries") {
		item := of(coins(w.tb, rapid.SampledFrom(w.emails).Draw(rt, "user"), 1, uint64(len(w.stream)+1)),
			rapid.SampledFrom(parkingHooks).Draw(rt, "webhook"), 1)
		item.Lease = w.lease
		w.stream = append(w.stream, item)
		w.byID[item.Delivery.ID] = item
	}
}

// feed settles the next deliveries of the stream, or parks them behind their webhooks.
func (w *parkingWorld) feed(rt *rapid.T) {
	if w.at == len(w.stream) {
		return
	}
	to := rapid.IntRange(w.at+1, len(w.stream)).Draw(rt, "to")
	var settling []applier.Item
	var parking []applier.Parking
	for _, item := range w.stream[w.at:to] {
		item.Lease = w.lease
		id := item.Delivery.WebhookID
		if w.waiting[id] || w.paused[id] {
			w.waiting[id] = true
			parking = append(parking, applier.Parking{Item: item, Reason: applier.Paused})
			continue
		}
		settling = append(settling, item)
	}
	if err := w.s.Park(w.tb.Context(), parking); err != nil {
		w.Fatal(err)
	}
	w.settle(settling)
	w.at = to
}

func (w *parkingWorld) settle(batch []applier.Item) []applier.Settlement {
	if len(batch) == 0 {
		return nil
	}
	settlements, err := w.s.Settle(w.tb.Context(), batch)
	if err != nil {
		w.Fatal(err)
	}
	for _, got := range settlements {
		if !got.Parked && got.Outcome != delivery.Applied {
			w.Fatalf("settled as %+v", got)
		}
	}
	return settlements
}

func (w *parkingWorld) lock(rt *rapid.T) {
	email := rapid.SampledFrom(w.emails).Draw(rt, "user")
	if w.locks[email] == nil {
		w.locks[email] = holding(w.tb, w.db, "SELECT FROM users WHERE email_key = '"+email+"' FOR UPDATE")
	}
}

func (w *parkingWorld) unlockAll() {
	for email, letGo := range w.locks {
		letGo()
		delete(w.locks, email)
	}
}

func (w *parkingWorld) pause(paused bool) { w.paused["wh_paused"] = paused }

func (w *parkingWorld) fromRows(rows []delivery.Delivery) (batch []applier.Item) {
	for _, d := range rows {
		item := w.byID[d.ID]
		item.WasParked, item.Lease = true, w.lease
		batch = append(batch, item)
	}
	return batch
}

// biteWebhook settles some of what waits for a webhook that is not paused any more.
func (w *parkingWorld) biteWebhook(rt *rapid.T) {
	const id = "wh_paused"
	if w.paused[id] || !w.waiting[id] {
		return
	}
	rows, err := w.s.ParkedOf(w.tb.Context(), w.lease.Partition, id, nil, rapid.IntRange(1, 5).Draw(rt, "rows"))
	if err != nil {
		w.Fatal(err)
	}
	if len(rows) == 0 {
		w.waiting[id] = false
		return
	}
	w.settle(w.fromRows(rows))
}

// retryUsers tries what waits for users. What a webhook has parked meanwhile may come
// before its deliveries among these: they wait behind.
func (w *parkingWorld) retryUsers(rt *rapid.T) {
	rows, err := w.s.ParkedOfUsers(w.tb.Context(), w.lease.Partition, rapid.IntRange(1, 5).Draw(rt, "rows"))
	if err != nil {
		w.Fatal(err)
	}
	var parking []applier.Parking
	batch := slices.DeleteFunc(w.fromRows(rows), func(item applier.Item) bool {
		id := item.Delivery.WebhookID
		w.waiting[id] = w.waiting[id] || w.paused[id]
		if w.waiting[id] {
			parking = append(parking, applier.Parking{Item: item, Reason: applier.Paused})
		}
		return w.waiting[id]
	})
	if err := w.s.Park(w.tb.Context(), parking); err != nil {
		w.Fatal(err)
	}
	w.settle(batch)
}

// takeOver has a new owner that knows what the tables say, and begins at any place that
// was not acked.
func (w *parkingWorld) takeOver() {
	takeOver(w.tb, w.db, w.lease)
	if w.at > 0 {
		if _, err := w.s.Settle(w.tb.Context(), []applier.Item{w.stream[w.at-1]}); err == nil {
			w.Fatal("the old owner settles")
		}
	}
	next := *w.lease
	next.Token++
	w.lease = &next
	all, err := w.s.ParkedWebhooks(w.tb.Context(), w.lease.Partition)
	if err != nil {
		w.Fatal(err)
	}
	clear(w.waiting)
	for _, parked := range all {
		w.waiting[parked.ID] = true
	}
}

// drain ends all that anything waits for, and compares what has become of it.
func (w *parkingWorld) drain() {
	w.unlockAll()
	clear(w.paused)
	for w.at < len(w.stream) {
		w.feed(w.T)
	}
	for n := 0; count(w.tb, w.db, "SELECT count(*) FROM parked") > 0; n++ {
		if n > 1000 {
			w.Fatalf("they stay parked: %v", parkedRows(w.tb, w.db))
		}
		w.retryUsers(w.T)
		w.biteWebhook(w.T)
	}
	rows, err := w.db.QueryContext(w.tb.Context(), `SELECT u.email || CASE l.webhook_id WHEN 'wh_paused' THEN ' wh_paused' ELSE '' END, o.stream_sequence
		FROM gamification_logs l JOIN outcomes o USING (delivery_id) JOIN users u ON u.id = l.user_id
		WHERE u.email = ANY (string_to_array($1, ',')) ORDER BY l.id`, strings.Join(w.emails, ","))
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	last, n := map[string]int{}, 0
	for ; rows.Next(); n++ {
		var of string
		var sequence int
		if err := rows.Scan(&of, &sequence); err != nil {
			w.Fatal(err)
		}
		if sequence <= last[of] {
			w.Fatalf("%s: %d was settled after %d", of, sequence, last[of])
		}
		last[of] = sequence
	}
	if n != len(w.stream) {
		w.Fatalf("%d deliveries took effect, want %d", n, len(w.stream))
	}
}
