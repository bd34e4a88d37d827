package model_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/replay"
	"github.com/coinhook/coinhook/applier/admin/revert"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const community = "default"

// slotOf puts each webhook into a partition of its own.
var slotOf = map[hook]int{shop: 1, guild: 2}

var yamlOf = map[hook]string{
	shop: `
name: Shop
state: active
user: {by: email, path: user}
idempotency: {path: key}
when: [{path: skip, equals: false}]
mappings:
  - {currency: coins, operator: add, value: {path: coins}}
  - {currency: coins, operator: subtract, value: {path: spent}}
  - {currency: gems, operator: add, value: {path: gems, signed: true}}
`,
	guild: `
name: Guild
state: active
user: {by: email, path: user}
mappings:
  - {field: team, value: {path: team}}
  - {currency: gems, operator: subtract, value: {path: gems, signed: true}}
`,
}

// definitions are those of the bucket, which always answers.
type definitions map[string]*webhook.Webhook

func (d definitions) At(_ context.Context, id string, _ uint64) (*webhook.Webhook, error) {
	return d[id], nil
}

func (d definitions) Version(_ context.Context, id string, _ int) (*webhook.Webhook, error) {
	return d[id], nil
}

func (d definitions) TookClear(context.Context, string, uint64, time.Time) (bool, error) {
	return false, nil
}

// silent is a reporter that keeps bugs only.
type silent struct {
	applier.Silent
	bugs []string
}

func (s *silent) Bug(d *delivery.Delivery, err error) { s.bugs = append(s.bugs, fmt.Sprint(d.ID, err)) }

func (s *silent) Stopped(err error) { s.bugs = append(s.bugs, fmt.Sprint(err)) }

// fault is what goes wrong with a batch.
type fault string

const (
	none         fault = "none"
	beforeCommit fault = "the database is away"
	afterCommit  fault = "the answer to COMMIT is lost"
	ackLost      fault = "the acks are lost"
)

// faulty is the store, whose connection is lost before or after a transaction.
type faulty struct {
	*postgres.Store
	fault fault
}

func (s *faulty) Park(ctx context.Context, batch []applier.Parking) error {
	if s.fault == beforeCommit {
		return errors.New("no connection")
	}
	err := s.Store.Park(ctx, batch)
	if err == nil && s.fault == afterCommit {
		return errors.New("the connection was lost")
	}
	return err
}

func (s *faulty) Settle(ctx context.Context, batch []applier.Item) ([]applier.Settlement, error) {
	if s.fault == beforeCommit {
		return nil, errors.New("no connection")
	}
	settlements, err := s.Store.Settle(ctx, batch)
	if err == nil && s.fault == afterCommit {
		return nil, errors.New("the connection was lost")
	}
	return settlements, err
}

// world is one history.
type world struct {
	*house
	t        *rapid.T
	stream   *stream
	want     *reference
	events   map[delivery.ID]event
	born     map[delivery.ID]int
	ids      []delivery.ID // of all deliveries, in their order
	report   *silent
	settling *faulty
	applier  *applier.Applier
	hooks    definitions   // as they are saved now
	paused   map[hook]bool // kept by the broker

	backups  map[string]*reference // of the database
	backup   *stream               // of the stream
	wentBack bool
}

func (h *house) newWorld(t *rapid.T) *world {
	h.count++
	w := &world{
		house: h, t: t, stream: newStream(fmt.Sprint("stream ", h.count)), want: newReference(),
		events: map[delivery.ID]event{}, born: map[delivery.ID]int{}, report: &silent{},
		settling: &faulty{Store: h.store, fault: none}, backups: map[string]*reference{},
		hooks: maps.Clone(h.hooks), paused: map[hook]bool{},
	}
	h.loadTables(t, "empty")
	w.restart(t)
	w.addUsers("a@x", "b@x")
	// The database knows the stream from here on, and so does each of its backups.
	w.stream.store([]delivery.Delivery{w.newDelivery(event{hook: shop, skip: true})})
	w.drain()
	return w
}

// restart has a new applier, which remembers nothing.
func (w *world) restart(t *rapid.T) {
	w.store.Close() // nothing is under way
	w.open(t)
	w.settling.Store = w.store
	w.applier = applier.New(w.hooks, w.store, w.payloads.Evaluate, w.settling, w.report)
}

func (w *world) addUsers(emails ...string) {
	var users []postgres.NewUser
	for _, e := range emails {
		users = append(users, postgres.NewUser{Email: e})
		w.want.users[e] = true
	}
	if _, err := w.store.ImportUsers(context.Background(), community, users); err != nil {
		w.t.Fatal(err)
	}
}

// handle gives messages to the owner of a partition, in this order, as one batch. It
// reports whether the owner acks them.
func (w *world) handle(f fault, index int, sequences ...uint64) (acks bool) {
	var batch []delivery.Delivery
	for _, sequence := range sequences {
		batch = append(batch, w.stream.take(index, sequence)...)
	}
	w.settling.fault = f
	defer func() { w.settling.fault = none }()
	var parked []applier.Parking
	var items []applier.Item
	for _, plan := range w.applier.Plan(context.Background(), batch) {
		d := plan.Item.Delivery
		hook := w.events[d.ID].hook
		if plan.Err != nil && plan.Park == "" {
			w.fail("a delivery cannot be planned", d.ID, plan.Err)
		}
		if plan.Park == applier.Paused != w.paused[hook] {
			w.fail("a webhook is not paused as it should be", hook, plan.Park)
		}
		if plan.Park == "" && !w.want.waits(hook) {
			items = append(items, plan.Item)
			continue
		}
		parked = append(parked, applier.Parking{Item: plan.Item, Reason: applier.Paused})
	}
	if err := w.settling.Park(context.Background(), parked); err != nil && f != beforeCommit && f != afterCommit {
		w.t.Fatal(err)
	}
	for i := range parked {
		if d := parked[i].Delivery; f != beforeCommit {
			w.want.park(d, w.events[d.ID].hook)
		}
	}
	w.settle(f, items)
	return f == none
}

// settle has the store settle what an owner has planned.
func (w *world) settle(f fault, items []applier.Item) {
	verdicts := w.applier.Settle(context.Background(), items)
	for i, item := range items {
		d, v := item.Delivery, verdicts[i]
		if f != beforeCommit {
			w.want.settle(d, w.events[d.ID], w.born[d.ID])
		}
		if v.IsSettled() && w.want.isOpen(d) {
			w.fail("a delivery would be acknowledged and is not settled", d.ID)
		} else if !v.IsSettled() && (f == none || f == ackLost) {
			w.fail("a delivery is not settled", d.ID, v)
		}
	}
	if len(w.report.bugs) > 0 {
		w.fail("the applier reports a bug", w.report.bugs)
	}
}

// next gives an owner up to so many messages behind its floor.
func (w *world) next(f fault, index int, atMost uint64) (some bool) {
	var batch []uint64
	floor := w.stream.floors[index]
	for sequence := floor + 1; sequence <= min(floor+atMost, w.stream.last()); sequence++ {
		batch = append(batch, sequence)
	}
	if len(batch) > 0 && w.handle(f, index, batch...) {
		w.stream.floors[index] += uint64(len(batch))
	}
	return len(batch) > 0
}

// drain has the owners take all that there is.
func (w *world) drain() {
	for index := range partitions {
		for w.next(none, index, 1) {
		}
	}
}

// bite takes parked deliveries of a webhook out, in their order.
func (w *world) bite(f fault, h hook, atMost int) {
	all, err := w.store.ParkedOf(context.Background(), partition(w.partitionOf(h)), w.idOf[h], nil, atMost)
	if err != nil {
		w.t.Fatal(err)
	}
	if want := min(atMost, w.want.countParked(h)); len(all) != want {
		w.fail("other deliveries are parked", len(all), want)
	}
	isBefore := func(a, b delivery.Delivery) int { return a.Position.Compare(b.Position) }
	if !w.wentBack && !slices.IsSortedFunc(all, isBefore) {
		w.fail("parked deliveries are not in their order", all)
	}
	var items []applier.Item
	for _, plan := range w.applier.Plan(context.Background(), all) {
		if plan.Err != nil {
			w.fail("a parked delivery cannot be planned", plan.Item.Delivery.ID, plan.Err)
		}
		plan.Item.WasParked = true
		items = append(items, plan.Item)
		if f != beforeCommit {
			w.want.unpark(plan.Item.Delivery)
		}
	}
	w.settling.fault = f
	w.settle(f, items)
	w.settling.fault = none
}

// setPaused saves a webhook.
func (w *world) setPaused(h hook, paused bool) {
	saved := *w.house.hooks[w.idOf[h]]
	if saved.State = webhook.Active; paused {
		saved.State = webhook.Paused
	}
	w.hooks[saved.ID], w.paused[h] = &saved, paused
}

// partitionOf is the one of a webhook.
func (w *world) partitionOf(h hook) int { return partitionOf(&delivery.Delivery{Slot: slotOf[h]}) }

// publisher stores what admins' commands publish.
type publisher struct {
	*world
	// leaves it in the stream, and says that the command was interrupted.
	leaves bool
}

var errInterrupted = errors.New("interrupted")

func (p publisher) PublishAll(_ context.Context, all []delivery.Delivery) error {
	for i := range all { // replays have the slot of the community, which both webhooks share
		all[i].Slot = slotOf[p.events[all[i].ID].hook]
	}
	p.stream.store(all)
	if p.leaves {
		return errInterrupted
	}
	p.drain()
	return nil
}

func (w *world) replayer(leaves bool) *replay.Replayer {
	return replay.New(w.store, w.hooks, w.payloads.Evaluate, publisher{w, leaves})
}

func (w *world) reverter() *revert.Reverter { return revert.New(w.store) }

func (w *world) auditor() *audit.Auditor { return audit.New(w.store, w.stream) }

// observeQuery reads what reference.state tells.
const observeQuery = `
SELECT 'outcome ' || o.delivery_id, coalesce(o.outcome, o.reason) || coalesce(' of ' || o.duplicate_of, '')
    || CASE WHEN d.delivery_id IS NULL THEN '' ELSE ', dead letter' END
    || CASE WHEN r.delivery_id IS NULL THEN '' ELSE ', reverted' END || ', ' || o.replays || ' replays'
FROM outcomes o LEFT JOIN dead_letters d USING (delivery_id) LEFT JOIN reverts r USING (delivery_id)
UNION ALL
SELECT 'replay ' || execution_id, effect::text FROM executions WHERE cause <> 'delivery'
UNION ALL
SELECT 'parked ' || delivery_id || ' ' || replay_id, reason FROM parked
UNION ALL
SELECT 'log ' || u.email || ' ' || l.currency, string_agg(l.delivery_id || ' ' ||
    CASE WHEN (l.operator = 'add') = (l.amount > 0) THEN '+' ELSE '-' END || abs(l.amount) || ' = ' || l.balance, ', ' ORDER BY l.number)
FROM gamification_logs l JOIN users u ON u.id = l.user_id GROUP BY u.email, l.currency
UNION ALL
SELECT 'balance ' || u.email || ' ' || b.currency, b.amount::text FROM balances b JOIN users u ON u.id = b.user_id
UNION ALL
SELECT 'user ' || email, 'is there' FROM users
UNION ALL
SELECT 'team ' || u.email, f.value FROM user_fields f JOIN users u ON u.id = f.user_id`

// check compares all that the database has with the reference.
func (w *world) check(*rapid.T) {
	got := map[string]string{}
	rows, err := w.db.QueryContext(context.Background(), observeQuery)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key, text string
		if err := rows.Scan(&key, &text); err != nil {
			w.t.Fatal(err)
		}
		if _, twice := got[key]; twice {
			w.fail("something is there twice", key)
		}
		got[key] = text
	}
	if diff := cmp.Diff(w.want.state(), got); diff != "" {
		w.fail("the database is not what it should be", diff)
	}
}

// eachLost tells of each delivery and replay that is acked and has no row.
func (w *world) eachLost(f func(m broker.Message, d delivery.Delivery)) {
	for _, m := range w.stream.messages {
		for _, d := range m.Deliveries {
			if w.stream.isPassed(&d) && w.want.isOpen(&d) && !w.want.isParked(&d) {
				f(m, d)
			}
		}
	}
}

// checkReport compares what an audit found with what is so.
func (w *world) checkReport(report *audit.Report) {
	var want, got []string
	w.eachLost(func(m broker.Message, d delivery.Delivery) { want = append(want, fmt.Sprint(m.Sequence, " ", d.ID)) })
	for _, v := range report.Violations {
		switch v.Kind {
		case "unsettled", "replay_unexecuted":
			got = append(got, fmt.Sprint(v.Sequence, " ", v.DeliveryID))
		case "stream_went_back", "not_in_stream":
			if w.wentBack {
				continue
			}
			fallthrough
		default:
			w.fail("the audit found what is not so", v)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.fail("the audit found something else than there is", diff)
	}
}

// newDelivery is one that an ingress has accepted.
func (w *world) newDelivery(e event) delivery.Delivery {
	d := delivery.Delivery{ID: w.newID(), WebhookID: w.idOf[e.hook], Slot: slotOf[e.hook], ReceivedAt: time.Now().UTC(), Body: e.body()}
	if e.hook == guild && e.key != "" {
		d.Headers = []delivery.Header{{Name: "Idempotency-Key", Value: e.key}}
	}
	w.events[d.ID], w.born[d.ID] = e, len(w.ids)
	w.ids = append(w.ids, d.ID)
	return d
}

// fail ends the history. Rapid makes a history smaller only while it fails with the
// same words.
func (w *world) fail(what string, details ...any) {
	w.t.Log(details...)
	w.t.Fatal(what)
}

// newID numbers the deliveries of a history, so that the same history has the same
// ids.
func (w *world) newID() delivery.ID {
	id := delivery.ID{0x01, 0x92, 0x0f, 0x4e, 0x7f, 0x00, 0x70, 0x00, 0x80}
	binary.BigEndian.PutUint32(id[12:], uint32(len(w.ids)))
	return id
}
