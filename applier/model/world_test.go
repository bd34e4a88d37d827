package model_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/replay"
	"github.com/coinhook/coinhook/applier/revert"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const community = "default"

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

// silent is a reporter that keeps bugs only.
type silent struct{ bugs []string }

func (*silent) Settled(applier.Item, applier.Settlement)             {}
func (*silent) Postponed([]*delivery.Delivery, error)                {}
func (*silent) Parked(*delivery.Delivery, applier.ParkReason, error) {}
func (s *silent) Bug(d *delivery.Delivery, err error)                { s.bugs = append(s.bugs, fmt.Sprint(d.ID, err)) }

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
	w.store.Close() //nolint:errcheck // nothing is under way
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

// handle gives messages to an applier, in this order, as one batch.
func (w *world) handle(f fault, sequences ...uint64) {
	var batch []delivery.Delivery
	for _, sequence := range sequences {
		batch = append(batch, w.stream.take(sequence)...)
	}
	w.settling.fault = f
	verdicts := w.applier.Handle(context.Background(), batch)
	w.settling.fault = none
	for i := range batch {
		if f != beforeCommit {
			w.want.settle(&batch[i], w.events[batch[i].ID], w.born[batch[i].ID])
		}
		if v := verdicts[i]; v.IsSettled() && w.want.isOpen(&batch[i]) {
			w.fail("a delivery would be acknowledged and is not settled", batch[i].ID)
		} else if !v.IsSettled() && (f == none || f == ackLost) {
			w.fail("a delivery is not settled", batch[i].ID, v)
		}
	}
	for _, sequence := range sequences {
		if f == none {
			w.stream.acked[sequence] = true
		}
	}
	if len(w.report.bugs) > 0 {
		w.fail("the applier reports a bug", w.report.bugs)
	}
}

// drain has appliers settle all that is not acknowledged.
func (w *world) drain() {
	for sequence := uint64(1); sequence <= w.stream.last(); sequence++ {
		if !w.stream.acked[sequence] {
			w.handle(none, sequence)
		}
	}
}

// publisher stores what admins' commands publish.
type publisher struct {
	*world
	// leaves it in the stream, and says that the command was interrupted.
	leaves bool
}

var errInterrupted = errors.New("interrupted")

func (p publisher) PublishAll(_ context.Context, all []delivery.Delivery) error {
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

// checkReport compares what an audit found with what is so: the deliveries and replays
// that the appliers are past and did not settle.
func (w *world) checkReport(report *audit.Report) {
	var want, got []string
	for _, m := range w.stream.messages[:w.stream.floor()] {
		for _, d := range m.Deliveries {
			if w.want.isOpen(&d) {
				want = append(want, fmt.Sprint(m.Sequence, " ", d.ID))
			}
		}
	}
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
	d := delivery.Delivery{ID: w.newID(), WebhookID: w.idOf[e.hook], ReceivedAt: time.Now().UTC(), Body: e.body()}
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
