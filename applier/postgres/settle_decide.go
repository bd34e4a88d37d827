package postgres

import (
	"math"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// decision is what the ledger decides, with what its rows need.
type decision struct {
	ledger.Decision
	// original is the body that an edited one stands for.
	original [32]byte
	place    ledger.Place // that it is settled from
	// first orders what it sets among what other deliveries set: where the delivery
	// was before it was published again.
	first ledger.Place
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

// decideFirst decides a delivery that is not a replay.
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
		return w.park(item, d.User, d.Why), nil
	}
	w.rows.add(item, d)
	return d.Settlement, nil
}

// words are what an outcome says of itself: of a failure, or of one that is skipped.
func (d decision) words() *delivery.Failure {
	switch {
	case d.Failure != nil:
		return d.Failure
	case d.Skipped != nil:
		return &delivery.Failure{Detail: d.Skipped.Detail, Path: d.Skipped.Path}
	default:
		return &delivery.Failure{}
	}
}

// decideOne has the ledger decide with what the locks found.
func (w *work) decideOne(item applier.Item) (decision, error) {
	user, _ := userOf(item) // one that is not named is not found
	key, hasKey := keyOf(item)
	decided, err := w.book.Decide(ledger.Case{
		Item: item, User: w.users[user], Taken: w.keys[key],
		Waits:    func() string { return w.waits(item, user) },
		Currency: func(code string) (applier.Currency, bool) { return w.currency(item.Webhook.Community, code) },
		Field:    func(name string) int64 { return w.fields[inCommunity{item.Webhook.Community, name}] },
	})
	if err != nil {
		return decision{}, err
	}
	if hasKey && decided.Key != nil {
		w.keys[key] = ledger.Taken{By: item.Delivery.ID, Body: decided.Key.Body}
	}
	return decision{Decision: decided, place: w.placeOf(item.Delivery), first: w.firstOf(item.Delivery)}, nil
}

func (w *work) placeOf(d *delivery.Delivery) ledger.Place {
	return ledger.Place{Epoch: w.epochs[d.Incarnation], Position: d.Position, StoredAt: d.StoredAt}
}

// firstOf is where a delivery was first. One that was in a stream which the
// database has never heard of counts where it is now.
func (w *work) firstOf(d *delivery.Delivery) ledger.Place {
	if d.First != nil {
		if epoch, ok := w.epochs[d.First.Incarnation]; ok {
			return ledger.Place{Epoch: epoch, Position: storable(d.First.Position), StoredAt: d.First.StoredAt}
		}
	}
	return w.placeOf(d)
}

// storable is a position that the tables can hold. A message may say any other of where
// its delivery was first.
func storable(p delivery.Position) delivery.Position {
	return delivery.Position{Sequence: min(p.Sequence, math.MaxInt64), Index: min(p.Index, math.MaxInt32)}
}

// currency is that of the database as the locks found it.
func (w *work) currency(community, code string) (applier.Currency, bool) {
	if c := w.currencies[inCommunity{community, code}]; c != nil {
		return *c, true
	}
	return applier.BuiltinCurrency(code)
}
