// Package applier is the core of the service that settles deliveries: what a
// payload asks for, and what a batch of deliveries does to the ledger.
package applier

import (
	"context"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Currency says how amounts of one currency are kept.
type Currency struct {
	Code string
	// Scale is the number of decimals, 0 to 6. It never changes.
	Scale int
	// Minimum and Maximum bound a balance, in the smallest unit; nil is no bound.
	Minimum, Maximum *int64
}

// Change is one change of a balance.
type Change struct {
	Currency string
	Operator webhook.Operator
	// Amount is in the currency's smallest unit. It is negative only where the
	// mapping is signed.
	Amount int64
	// Scale is the currency's, which made the amount.
	Scale int
}

// FieldChange is one custom field that is set.
type FieldChange struct {
	Field, Value string
	// Revision is that of the field's definition, which the value was checked by.
	Revision int64
}

// Key tells a sender's retry from a new event: per webhook, the first delivery
// with a key that is applied takes effect.
type Key struct {
	// Hash is that of the key's text, Body that of the payload.
	Hash, Body [32]byte
	// Where says in a sentence where the key was found; Path is its path, if it
	// has one.
	Where, Path string
}

// UserRef is how a payload names a user.
type UserRef struct {
	By    webhook.UserKey
	Value string
}

// Key is the form in which the value is compared: emails and usernames without case,
// external ids exactly.
func (u UserRef) Key() string {
	if u.By == webhook.ByEmail || u.By == webhook.ByUsername || u.By == webhook.ByID {
		return FoldKey(u.Value)
	}
	return u.Value
}

// Plan is what a delivery asks for: all of it takes effect, or none.
type Plan struct {
	User UserRef
	// Changes are in the order of the mappings. Zero amounts are left out: they
	// change nothing and log nothing.
	Changes []Change
	// Fields are in the order of the mappings, too.
	Fields []FieldChange
	// Key is nil if the sender gave none. A Failure keeps it, too.
	Key *Key
	// Skip is set if a condition did not hold: nothing changes, and there is no User.
	// Why says which.
	Skip bool
	Why  *Skipped
}

// Skipped says which condition did not hold.
type Skipped struct {
	// Detail is a sentence for an admin, without secrets; Path is that of the condition,
	// if it has one.
	Detail, Path string
}

// Item is one delivery of a batch with the result of its mapping: a Plan or a
// Failure.
type Item struct {
	Delivery *delivery.Delivery
	// Webhook decided it. It is nil if there is no such webhook.
	Webhook *webhook.Webhook
	Plan    Plan
	Failure *delivery.Failure
	// NoOp is set on a replay that cannot be decided as it asks for: its delivery
	// stays as it is. The Failure is for one that has no outcome.
	NoOp bool
	// Lease is that of the delivery's partition. The store commits nothing under a
	// lease that is lost. It is nil where nothing is partitioned: trials, tests.
	Lease *Lease
	// WasParked says that the delivery comes from its parked row. The row goes in the
	// transaction that decides it.
	WasParked bool
}

// Store keeps the ledger.
type Store interface {
	// Settle commits the effects and outcomes of a batch in one transaction, in
	// the order given. A delivery that has an outcome already is left as it is.
	// An error means that nothing of the batch is known to be committed; it is a
	// *DataError when the batch itself is at fault, a *FencedError when a lease is lost,
	// and ErrChanged when its plans have to be made again.
	Settle(ctx context.Context, batch []Item) ([]Settlement, error)
}

// Settlement is the outcome of one delivery, as committed.
type Settlement struct {
	Status  delivery.Status
	Outcome delivery.Outcome
	Failure *delivery.Failure
	// Skipped is set where the outcome is, as far as it is known.
	Skipped *Skipped
	// DuplicateOf is the delivery that a duplicate repeats.
	DuplicateOf delivery.ID
	// Known is set when an earlier transaction had settled the delivery.
	Known bool
	// Forgotten is set if the outcome was removed for its age and the delivery came back
	// with a restored stream: nothing was done, and the other fields are empty.
	Forgotten bool
	// NoOp is set for a replay of a delivery that is no longer a dead letter: nothing
	// was done, and the other fields say how the delivery ended before.
	NoOp bool
	// Parked is set if another transaction has locked the user, or the user has parked
	// deliveries: this delivery was parked, too, and is not decided.
	Parked bool
}

// DataError is a database's refusal of the values of a batch. A retry cannot help.
type DataError struct {
	Err error
	// State is the SQLSTATE, empty where rows contradict each other.
	State string
}

func (e *DataError) Error() string { return e.Err.Error() }
func (e *DataError) Unwrap() error { return e.Err }
