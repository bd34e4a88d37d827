package postgres

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// decision is what becomes of one delivery.
type decision struct {
	applier.Settlement
	user delivery.ID
	// why it is parked, if it is.
	why     string
	entries []ledger.Entry
	fields  []applier.FieldChange
	key     *applier.Key // that it takes
	// original is the body that an edited one stands for.
	original [32]byte
	place    place // that it is settled from
	// first orders what it sets among what other deliveries set: where the delivery
	// was before it was published again.
	first place
}

// place is a delivery's place in all streams there were.
type place struct {
	epoch int64
	delivery.Position
	// storedAt is by the broker's clock, and zero if it is not known.
	storedAt time.Time
}

// before reports whether q is later than p by the stream alone.
func (p place) before(q place) bool {
	return cmp.Or(cmp.Compare(p.epoch, q.epoch), p.Compare(q.Position)) < 0
}

// decide walks the batch in its order.
func (w *work) decide() error {
	seen := make(map[delivery.ID]applier.Settlement, len(w.batch))
	for i, item := range w.batch {
		id := item.Delivery.ID
		s, isTwice := seen[id]
		switch {
		case item.Delivery.Replay != nil:
			var err error
			if s, err = w.decideReplay(item); err != nil {
				return err
			}
		case isTwice: // the broker handed it out twice
			s.Known = !s.Parked
		default:
			var err error
			if s, err = w.decideFirst(item); err != nil {
				return err
			}
		}
		w.settlements[i], seen[id] = s, s
		w.settled(item, s)
	}
	w.rows.finish(w.book)
	return nil
}

// decideFirst decides a delivery that is no replay.
func (w *work) decideFirst(item applier.Item) (applier.Settlement, error) {
	if s, ok := w.known[item.Delivery.ID]; ok {
		return s, nil
	}
	if w.isForgotten(item) {
		return applier.Settlement{Forgotten: true}, nil
	}
	d, err := w.decideOne(item)
	if err != nil {
		return applier.Settlement{}, err
	}
	if d.Parked {
		return w.park(item, d.user, d.why), nil
	}
	w.rows.add(item, d)
	return d.Settlement, nil
}

func failed(f *delivery.Failure) applier.Settlement {
	return applier.Settlement{Status: delivery.Failed, Failure: f}
}

// decideOne looks at the idempotency key first: a retry of what was applied is a
// duplicate, whatever became of the mapping or the user since.
func (w *work) decideOne(item applier.Item) (decision, error) {
	d := decision{place: w.placeOf(item.Delivery), first: w.firstOf(item.Delivery)}
	user, ok := userOf(item)
	if ok {
		d.user = w.users[user]
	}
	if s, ok := w.repeated(item); ok {
		d.Settlement = s
		return d, nil
	}
	if item.Failure != nil {
		d.Settlement = failed(item.Failure)
		return d, nil
	}
	if item.Plan.Skip {
		d.Settlement = applier.Settlement{Status: delivery.Success, Outcome: delivery.Skipped}
		return d, nil
	}
	if d.user == (delivery.ID{}) {
		d.Settlement = failed(applier.UserNotFound(item.Webhook))
		return d, nil
	}
	if d.why = w.waits(item, user); d.why != "" {
		d.Settlement = applier.Settlement{Parked: true}
		return d, nil
	}
	if err := w.unchanged(item); err != nil {
		return decision{}, err
	}
	entries, failure := w.book.Apply(d.user, item.Plan.Changes, func(code string) (applier.Currency, bool) {
		return w.currency(item.Webhook.Community, code)
	})
	if failure != nil {
		d.Settlement = failed(failure)
		return d, nil
	}
	d.Settlement = applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied}
	d.entries, d.fields = entries, item.Plan.Fields
	if key, ok := keyOf(item); ok {
		w.keys[key] = taken{by: item.Delivery.ID, body: item.Plan.Key.Body}
		d.key = item.Plan.Key
	}
	return d, nil
}

func (w *work) placeOf(d *delivery.Delivery) place {
	return place{epoch: w.epochs[d.Incarnation], Position: d.Position, storedAt: d.StoredAt}
}

// firstOf is where a delivery was first. One that was in a stream which the
// database has never heard of counts where it is now.
func (w *work) firstOf(d *delivery.Delivery) place {
	if d.First != nil {
		if epoch, ok := w.epochs[d.First.Incarnation]; ok {
			return place{epoch: epoch, Position: storable(d.First.Position), storedAt: d.First.StoredAt}
		}
	}
	return w.placeOf(d)
}

// storable is a position that the tables can hold. A message may say any other of where
// its delivery was first.
func storable(p delivery.Position) delivery.Position {
	return delivery.Position{Sequence: min(p.Sequence, math.MaxInt64), Index: min(p.Index, math.MaxInt32)}
}

// repeated settles a delivery whose idempotency key was taken before. A delivery that a
// condition skips conflicts with nothing: several events about one thing may have its id
// as their key.
func (w *work) repeated(item applier.Item) (applier.Settlement, bool) {
	key, ok := keyOf(item)
	first := w.keys[key]
	switch {
	case !ok || first.by == (delivery.ID{}):
		return applier.Settlement{}, false
	case first.is(item.Plan.Key.Body):
		return applier.Settlement{Status: delivery.Success, Outcome: delivery.Duplicate, DuplicateOf: first.by}, true
	case item.Plan.Skip:
		return applier.Settlement{}, false
	}
	return failed(&delivery.Failure{
		Reason: delivery.IdempotencyConflict,
		Detail: fmt.Sprintf("The idempotency key, %s, came before with another body, in the delivery %s.", item.Plan.Key.Where, first.by),
		Path:   item.Plan.Key.Path,
	}), true
}

// currency is that of the database as the locks found it.
func (w *work) currency(community, code string) (applier.Currency, bool) {
	if c := w.currencies[inCommunity{community, code}]; c != nil {
		return *c, true
	}
	return applier.BuiltinCurrency(code)
}

// unchanged reports whether a plan was made by the scales and custom fields that
// there are now.
func (w *work) unchanged(item applier.Item) error {
	for _, change := range item.Plan.Changes {
		if c, ok := w.currency(item.Webhook.Community, change.Currency); ok && c.Scale != change.Scale {
			return fmt.Errorf("%w: the scale of %s", applier.ErrChanged, change.Currency)
		}
	}
	for _, f := range item.Plan.Fields {
		if w.fields[inCommunity{item.Webhook.Community, f.Field}] != f.Revision {
			return fmt.Errorf("%w: the custom field %s", applier.ErrChanged, f.Field)
		}
	}
	return nil
}
