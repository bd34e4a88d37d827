package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// RevertOptions say how deliveries are reverted.
type RevertOptions struct {
	By, Note string
	// AllowNegative takes back also what leaves a balance below its minimum.
	AllowNegative bool
}

// Revert takes back the effects of deliveries, in the order given, in one
// transaction. It works like Settle and runs alongside it:
//
//  1. lock the users, in the order of their ids; then the outcomes, which nobody
//     removes meanwhile;
//  2. in new statements, read what the deliveries are and did, which are reverted
//     already, the balances, the limits, and the custom fields;
//  3. decide in Go;
//  4. write all of it with one statement, and compare what it wrote.
//
// Each delivery is reverted whole or not at all, and once: its row in reverts is
// written in the transaction of the opposite entries.
func (s *Store) Revert(ctx context.Context, ids []delivery.ID, opts RevertOptions) ([]ledger.Reversal, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var u *undoing
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		u = newUndoing(opts.AllowNegative)
		if err := u.lockUsers(ctx, tx, ids); err != nil {
			return fmt.Errorf("lock users: %w", err)
		}
		if err := u.lockTargets(ctx, tx, ids); err != nil {
			return fmt.Errorf("lock outcomes: %w", err)
		}
		if err := u.read(ctx, tx, ids); err != nil {
			return err
		}
		u.decide(ids)
		if err := u.write(ctx, tx, opts); err != nil {
			return fmt.Errorf("write %d: %w", len(ids), err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("revert deliveries: %w", err)
	}
	return u.reversals, nil
}

// RevertRehearsal decides as Revert does, each batch with what the ones before it
// would have changed, and writes nothing. It locks nobody: it is true as long as
// nothing else happens.
type RevertRehearsal struct {
	store *Store
	work  *undoing
}

// RehearseRevert begins a rehearsal with everything as it is.
func (s *Store) RehearseRevert(opts RevertOptions) *RevertRehearsal {
	return &RevertRehearsal{store: s, work: newUndoing(opts.AllowNegative)}
}

// Revert decides a batch.
func (r *RevertRehearsal) Revert(ctx context.Context, ids []delivery.ID) ([]ledger.Reversal, error) {
	err := pg.Snapshot(ctx, r.store.db, func(tx *sqlx.Tx) error { return r.work.read(ctx, tx, ids) })
	if err != nil {
		return nil, fmt.Errorf("rehearse a revert: %w", err)
	}
	r.work.decide(ids)
	return r.work.reversals, nil
}

// undoing is a batch on its way through Revert. In a rehearsal it is all batches
// so far: what it knows of balances and values is what they would have left.
type undoing struct {
	ledger.Reverting

	locked     map[delivery.ID]bool // users; nil in a rehearsal
	known      map[delivery.ID]bool // users whose balances are in the book
	currencies map[inCommunity]applier.Currency

	// The fields below, and Earlier, are of one batch.
	targets   map[delivery.ID]*target
	reversals []ledger.Reversal
	rows      undoRows
}

// target is a delivery that is to be reverted.
type target struct {
	ledger.Effect
	id                delivery.ID
	webhookID, action string
	changes           int        // that the outcome counts; -1 where it does not
	ordinals          []int64    // of the entries
	sets              []fieldSet // of the fields
}

// fieldSet is where a delivery set a custom field.
type fieldSet struct {
	ordinal int64
	at      ledger.Place
}

func newUndoing(allowNegative bool) *undoing {
	u := &undoing{known: map[delivery.ID]bool{}, currencies: map[inCommunity]applier.Currency{}}
	u.Reverting = ledger.Reverting{
		Book: ledger.Book{}, Held: map[ledger.UserField]ledger.FieldValue{}, Gone: map[delivery.ID]bool{},
		Exists:        func(user delivery.ID) bool { return u.locked == nil || u.locked[user] },
		Currency:      u.currency,
		AllowNegative: allowNegative,
	}
	return u
}

// decide walks the batch in its order.
func (u *undoing) decide(ids []delivery.ID) {
	u.reversals = make([]ledger.Reversal, 0, len(ids))
	for _, id := range ids {
		t := u.targets[id]
		if t == nil {
			u.reversals = append(u.reversals, u.Decide(id, nil))
			continue
		}
		r := u.Decide(id, &t.Effect)
		u.reversals = append(u.reversals, r)
		if r.State == ledger.Reverted {
			u.rows.add(t, r)
		}
	}
	u.rows.finish(u)
}

// currency returns a currency without limits if there is none of this name any longer.
func (u *undoing) currency(community, code string) applier.Currency {
	if c, ok := u.currencies[inCommunity{community, code}]; ok {
		return c
	}
	if c, ok := applier.BuiltinCurrency(code); ok {
		return c
	}
	return applier.Currency{Code: code}
}
