package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Rehearsal decides batches as Settle does, each with what the ones before it
// would have changed, and writes nothing. It locks nobody: it is true as long as
// nothing else happens.
type Rehearsal struct {
	store *Store
	work  *work
	read  map[delivery.ID]bool // users whose balances are in the book
	last  []Decision
	// keysAreFree leaves unread who has taken idempotency keys.
	keysAreFree bool
}

// Decision is what a delivery would do.
type Decision struct {
	applier.Settlement
	User    delivery.ID // zero if there is none
	Entries []ledger.Entry
	Fields  []applier.FieldChange
}

// Rehearse begins a rehearsal with balances and keys as they are.
func (s *Store) Rehearse() *Rehearsal {
	return &Rehearsal{store: s, work: newWork(nil, map[string]int64{}), read: map[delivery.ID]bool{}}
}

// RehearseAfresh begins a rehearsal in which no idempotency key is taken yet: the
// deliveries that it decides may themselves have taken theirs, long ago.
func (s *Store) RehearseAfresh() *Rehearsal {
	r := s.Rehearse()
	r.keysAreFree = true
	return r
}

// Settle decides a batch as if its deliveries had no outcome. Decisions returns more
// details.
func (r *Rehearsal) Settle(ctx context.Context, batch []applier.Item) ([]applier.Settlement, error) {
	if err := r.learn(ctx, batch); err != nil {
		return nil, fmt.Errorf("rehearse: %w", err)
	}
	r.last = r.last[:0]
	settlements := make([]applier.Settlement, len(batch))
	for i, item := range batch {
		d, err := r.work.decideOne(item)
		if err != nil {
			return nil, fmt.Errorf("rehearse: %w", err)
		}
		settlements[i] = d.Settlement
		r.last = append(r.last, Decision{Settlement: d.Settlement, User: d.User, Entries: d.Entries, Fields: d.Fields})
	}
	return settlements, nil
}

// Decisions are those on the last batch, until the next one.
func (r *Rehearsal) Decisions() []Decision { return r.last }

// learn reads what the batch needs and was not read before: what is known was
// changed by the batches so far.
func (r *Rehearsal) learn(ctx context.Context, batch []applier.Item) error {
	fresh := newWork(batch, nil)
	if keys := fresh.keysOf(fresh.isMissing); len(keys) > 0 {
		if err := fresh.readUsers(ctx, rehearsed(r, findUsersQuery), keys); err != nil {
			return err
		}
	}
	if err := fresh.read(ctx, rehearsed(r, readQuery)); err != nil {
		return err
	}
	if r.keysAreFree {
		for key := range fresh.keys {
			fresh.keys[key] = ledger.Taken{}
		}
	}
	addMissing(r.work.users, fresh.users)
	addMissing(r.work.keys, fresh.keys)
	if !fresh.findsUsers() {
		return nil // currencies and custom fields were not read either
	}
	addMissing(r.work.currencies, fresh.currencies)
	addMissing(r.work.fields, fresh.fields)
	for account, balance := range fresh.book {
		if !r.read[account.User] {
			r.work.book[account] = balance
		}
	}
	for _, user := range fresh.users {
		r.read[user] = true
	}
	return nil
}

// findsUsers reports whether any user that the batch asks for exists.
func (w *work) findsUsers() bool {
	for _, id := range w.users {
		if id != (delivery.ID{}) {
			return true
		}
	}
	return false
}

// rehearsed chooses among statements, and runs the one without a transaction.
func rehearsed[Set any](r *Rehearsal, statement func(Set) string) func(Set) query {
	return func(set Set) query {
		return func(ctx context.Context, args ...any) (*sql.Rows, error) {
			return r.store.db.QueryContext(ctx, statement(set), args...)
		}
	}
}

func addMissing[K comparable, V any](into, from map[K]V) {
	for k, v := range from {
		if _, ok := into[k]; !ok {
			into[k] = v
		}
	}
}
