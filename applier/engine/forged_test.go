package engine_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func (w *world) coins(t *testing.T) int {
	return w.Number(`SELECT coalesce(sum(amount), 0)::bigint FROM balances WHERE currency = 'coins'`)
}

// malformed is how many deliveries failed because nobody may have sent them.
func (w *world) malformed(t *testing.T) int {
	return w.Number(`SELECT count(*) FROM outcomes WHERE status = 'failed' AND reason = 'malformed_delivery'`)
}

func (w *world) audit(t *testing.T) *audit.Report {
	t.Helper()
	w.awaitAcked(t)
	store, err := postgres.Open(w.URL, postgres.Options{Name: "audit"})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() // all was read
	stream, err := w.Conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	incarnation, err := w.Conn.Incarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report, err := audit.New(store, stream).Run(t.Context(), incarnation)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// A forger who can publish to the stream, and read all of it, changes no balance. The
// audit names each message.
func TestForgedDeliveriesCreditNothing(t *testing.T) {
	t.Parallel()
	w := newSignedWorld(t, 2, brokertest.DeliveryKeys(t, "a"))
	users := w.addUsers("red", 1)
	h, paused := w.hook(t, "red", "Shop", "add"), w.hook(t, "red", "Paused", "add")
	paused.set(t, webhook.Paused)
	w.startOwner(t, 2)
	genuine := h.send(t, 1, users[0], users[0]) // messages 1 and 2
	waiting := paused.send(t, 1, users[0])      // message 3
	dead := h.send(t, 1, "nobody@red.example")  // message 4
	w.awaitSettled(t, 3)
	w.awaitParked(t, 1)
	one, two := w.Server.Data(1), w.Server.Data(2)

	stranger, other := w.stranger(t), appliertest.Publisher(t, w.Server.ConnectWith(brokertest.DeliveryKeys(t, "b")))
	forged := 0
	publish := func(p *broker.Publisher, change func(*delivery.Delivery)) {
		t.Helper()
		d := h.delivery(1000, users[0])
		change(&d)
		if err := p.Publish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		forged++
	}
	publish(stranger, func(*delivery.Delivery) {})
	publish(other, func(*delivery.Delivery) {})
	publish(stranger, func(d *delivery.Delivery) { d.WebhookID = webhook.NewID() })
	publish(stranger, func(d *delivery.Delivery) { d.ID, d.WebhookID = waiting[0], paused.ID })
	publish(stranger, func(d *delivery.Delivery) { d.ID, d.WebhookID, d.Slot = waiting[0], paused.ID, 0 })
	publish(stranger, func(d *delivery.Delivery) {
		d.ID, d.Replay = dead[0], &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual, RequestedAt: time.Now(), Edited: true}
	})
	publish(stranger, func(d *delivery.Delivery) { d.First = &delivery.Place{Incarnation: "x", StoredAt: time.Now()} })
	for _, data := range [][]byte{
		bytes.Replace(one, []byte(`"amount": 1`), []byte(`"amount": 9`), 1),
		bytes.Replace(one, []byte(h.ID), []byte(paused.ID), 1),
		[]byte("no message"),
		one[:len(one)-1],
	} {
		w.Server.Forge(data, nil)
		forged++
	}
	w.Server.Forge(one, map[string]string{"Coinhook-Format": "99"})
	forged++
	// Genuine messages again, also mixed, are known.
	w.Server.Forge(one, nil)
	w.Server.Forge(slices.Concat(two, one), nil)
	w.Server.Forge(w.Server.Data(3), nil)

	last := h.send(t, 1, users[0])
	appliertest.Eventually(t, "the last one is settled", func() bool {
		return w.Number(`SELECT count(*) FROM outcomes WHERE delivery_id = $1`, last[0].String()) == 1
	})
	paused.set(t, webhook.Active)
	w.awaitSettled(t, 5+forged)
	if got := w.coins(t); got != len(genuine)+len(waiting)+len(last) {
		t.Errorf("%d coins, want those of the %d genuine deliveries", got, len(genuine)+len(waiting)+len(last))
	}
	if n := w.malformed(t); n != forged {
		t.Errorf("%d failed as malformed, want %d", n, forged)
	}
	if n := w.Number(`SELECT count(*) FROM outcomes WHERE delivery_id = $1 AND status = 'success'`, waiting[0].String()); n != 1 {
		t.Error("a genuine delivery that was parked is not executed: somebody has taken its id")
	}
	if n := w.Number(`SELECT count(*) FROM outcomes WHERE delivery_id = $1 AND reason = 'user_not_found'`, dead[0].String()); n != 1 {
		t.Error("a forged replay has touched its dead letter")
	}
	w.wantNamed(t, forged)
}

// stranger publishes with the NATS user of an ingress and without a key, also what is in
// the stream already.
func (w *world) stranger(t *testing.T) *broker.Publisher {
	t.Helper()
	p := broker.NewPublisher(w.Server.ConnectAs(broker.Ingress), broker.PublisherOptions{Again: true, Log: zerolog.Nop()})
	appliertest.Running(t, p.Run)
	return p
}

// wantNamed: the audit finds so many deliveries without proof, and nothing else.
func (w *world) wantNamed(t *testing.T, unproven int) {
	t.Helper()
	r := w.audit(t)
	if r.Unproven != unproven || len(r.Violations) != unproven {
		t.Errorf("%d of %d violations are without proof, want %d", r.Unproven, len(r.Violations), unproven)
	}
	for _, v := range r.Violations {
		if v.Kind != "unproven" || v.DeliveryID == nil || v.Sequence == 0 {
			t.Errorf("found %+v", v)
		}
	}
}

// While keys are rotated nothing is refused, whether it waits in the stream, in a row of
// its own, or as a dead letter that is replayed. Once the old key is gone it signs
// nothing more.
func TestKeysAreRotated(t *testing.T) {
	t.Parallel()
	old := brokertest.DeliveryKeys(t, "a")
	w := newSignedWorld(t, 1, old)
	users := w.addUsers("red", 1)
	h, paused := w.hook(t, "red", "Shop", "add"), w.hook(t, "red", "Paused", "add")
	paused.set(t, webhook.Paused)
	e := w.startOwner(t, 1)
	h.send(t, 1, users[0])
	paused.send(t, 1, users[0])
	dead := h.delivery(1, "late@red.example")
	w.publish(t, w.publisher, dead)
	w.awaitSettled(t, 2)
	w.awaitParked(t, 1)
	e.stop()
	queued := h.send(t, 1, users[0], users[0]) // while nobody settles
	before := w.publisher

	w.use(t, "b", "a")
	e = w.startOwner(t, 1)
	w.awaitSettled(t, 2+len(queued))
	h.send(t, 1, users[0])
	w.publish(t, before, h.delivery(1, users[0])) // an ingress that has the old key alone
	w.awaitSettled(t, 2+len(queued)+2)
	if n := w.malformed(t); n > 0 {
		t.Fatalf("%d were refused while both keys are there", n)
	}
	w.awaitAcked(t)
	e.stop()

	w.use(t, "b")
	if err := w.Conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	w.startOwner(t, 1)
	paused.set(t, webhook.Active)
	w.awaitSettled(t, 2+len(queued)+3)
	w.AddUsers("red", "late@red.example")
	dead.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Manual, RequestedAt: time.Now()}
	dead.ReceivedAt = time.Now().Add(-1000 * time.Hour)
	w.publish(t, w.publisher, dead)
	w.publish(t, before, h.delivery(1, "late@red.example"))
	w.awaitSettled(t, 2+len(queued)+4)
	appliertest.Eventually(t, "the replay is executed", func() bool {
		return w.Number(`SELECT count(*) FROM outcomes WHERE delivery_id = $1 AND status = 'success'`, dead.ID.String()) == 1
	})
	if n, coins := w.malformed(t), w.coins(t); n != 1 || coins != 1+len(queued)+2+2 {
		t.Errorf("%d are refused, and %d coins are there", n, coins)
	}
	w.wantNamed(t, 1)
}

func (w *world) publish(t *testing.T, p *broker.Publisher, d delivery.Delivery) {
	t.Helper()
	if err := p.Publish(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// use has all that starts from now on use other keys.
func (w *world) use(t *testing.T, letters ...string) {
	t.Helper()
	w.Conn = w.Server.ConnectWith(brokertest.DeliveryKeys(t, letters...))
	w.publisher = appliertest.Publisher(t, w.Conn)
}

// Deliveries that were in the stream before there were keys are executed. Later ones need
// a MAC.
func TestWhatIsOlderThanTheKeysIsExecuted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 1)
	h := w.hook(t, "red", "Shop", "add")
	h.send(t, 1, users[0], users[0])
	before := w.publisher
	w.use(t, "a")
	if err := w.Conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	w.publish(t, before, h.delivery(1000, users[0]))
	h.send(t, 1, users[0])
	w.startOwner(t, 1)
	w.awaitSettled(t, 4)
	if n, coins := w.malformed(t), w.coins(t); n != 1 || coins != 3 {
		t.Errorf("%d are refused, and %d coins are there", n, coins)
	}
	w.wantNamed(t, 1)
}

// An applier of a newer version may read what this one parks. What somebody has forged
// does not wait for that, and holds up nobody.
func TestAForgedNewerMessageHoldsUpNobody(t *testing.T) {
	t.Parallel()
	w := newSignedWorld(t, 1, brokertest.DeliveryKeys(t, "a"))
	users := w.addUsers("red", 1)
	h := w.hook(t, "red", "Shop", "add")
	w.startOwner(t, 1)
	w.Server.PublishNewer(delivery.NewID(), h.ID)
	h.send(t, 1, users[0])
	w.awaitSettled(t, 2)
	if w.parked(t) != 0 || w.malformed(t) != 1 || w.coins(t) != 1 {
		t.Errorf("%d are parked, %d refused, and %d coins are there", w.parked(t), w.malformed(t), w.coins(t))
	}
}

// A message is read again after each restart of an applier. A forged one has the same
// id then.
func TestAForgedDeliveryHasOneOutcome(t *testing.T) {
	t.Parallel()
	w := newSignedWorld(t, 1, brokertest.DeliveryKeys(t, "a"))
	h := w.hook(t, "red", "Shop", "add")
	w.publish(t, w.stranger(t), h.delivery(1, "a@red.example"))
	for range 3 {
		e := w.startOwner(t, 1)
		w.awaitSettled(t, 1)
		w.awaitAcked(t)
		e.stop()
		w.Server.LosePartitions() // setup makes them again, and they hand out everything
		if err := w.Conn.Setup(t.Context(), broker.Topology{Partitions: 1}); err != nil {
			t.Fatal(err)
		}
	}
	w.startOwner(t, 1)
	w.awaitAcked(t)
	if n := w.settled(t); n != 1 {
		t.Errorf("%d outcomes, want 1", n)
	}
}
