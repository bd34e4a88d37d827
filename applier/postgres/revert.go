package postgres

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// RevertOptions say how deliveries are reverted.
type RevertOptions struct {
	By, Note string
	// AllowNegative takes back also what leaves a balance below its minimum.
	AllowNegative bool
}

// RevertState says what a revert does with one delivery.
type RevertState string

const (
	Reverted        RevertState = "reverted"
	AlreadyReverted RevertState = "already reverted"
	// LeftOut is what a limit stops.
	LeftOut RevertState = "left out"
	// NotApplied has no effect that could be taken back.
	NotApplied RevertState = "not applied"
)

// Reversal is what a revert does with one delivery.
type Reversal struct {
	ID      delivery.ID
	State   RevertState
	Failure *delivery.Failure // why it is left out
	// Outcome says what a delivery is that is not applied: "failed", "duplicate",
	// "skipped", or empty when it has no outcome.
	Outcome   string
	Community string
	User      delivery.ID
	Entries   []ledger.Entry
	Fields    []FieldReversal
}

// FieldReversal is what becomes of a custom field that the delivery set.
type FieldReversal struct {
	Field string
	// Before is what the user had, Now what the user has; nil is no value.
	Before, Now *HeldValue
}

// HeldValue is a custom field's value with the delivery that set it.
type HeldValue struct {
	Value string
	By    delivery.ID
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
func (s *Store) Revert(ctx context.Context, ids []delivery.ID, opts RevertOptions) ([]Reversal, error) {
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
func (r *RevertRehearsal) Revert(ctx context.Context, ids []delivery.ID) ([]Reversal, error) {
	err := r.store.snapshot(ctx, func(tx *sqlx.Tx) error { return r.work.read(ctx, tx, ids) })
	if err != nil {
		return nil, fmt.Errorf("rehearse a revert: %w", err)
	}
	r.work.decide(ids)
	return r.work.reversals, nil
}

// undoing is a batch on its way through Revert. In a rehearsal it is all batches
// so far: what it knows of balances and values is what they would have left.
type undoing struct {
	allowNegative bool

	locked map[delivery.ID]bool // users; nil in a rehearsal
	known  map[delivery.ID]bool // users whose balances are in the book
	book   ledger.Book
	// holders are the values that users have; an empty one is none.
	holders map[userField]ledger.FieldValue
	// gone are the deliveries that are reverted here.
	gone       map[delivery.ID]bool
	currencies map[inCommunity]applier.Currency

	// What follows is of one batch.
	targets    map[delivery.ID]*target
	candidates map[userField][]ledger.FieldValue // what may hold next
	reversals  []Reversal
	rows       undoRows
}

// target is a delivery that is to be reverted.
type target struct {
	id                           delivery.ID
	user                         delivery.ID
	community, webhookID, action string
	outcome                      string
	changes                      int // that the outcome counts; -1 where it does not
	reverted                     bool
	ordinals                     []int64 // of the entries
	entries                      []ledger.Entry
	fields                       []fieldSet
}

// fieldSet is a custom field that a delivery set.
type fieldSet struct {
	ordinal int64
	userField
	ledger.FieldValue
}

func newUndoing(allowNegative bool) *undoing {
	return &undoing{
		allowNegative: allowNegative,
		known:         map[delivery.ID]bool{},
		book:          ledger.Book{},
		holders:       map[userField]ledger.FieldValue{},
		gone:          map[delivery.ID]bool{},
		currencies:    map[inCommunity]applier.Currency{},
	}
}
