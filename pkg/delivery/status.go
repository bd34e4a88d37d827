package delivery

import (
	"slices"
	"time"
)

// Status is what an admin sees of a delivery. There are no others.
type Status string

const (
	Pending Status = "pending" // queued: in the stream, without an outcome
	Success Status = "success" // executed
	Failed  Status = "failed"  // not executed, because of a Reason; kept as a dead letter
)

// State is where a pending delivery is.
type State string

const (
	StateQueued    State = "queued"     // never delivered to an applier
	StateHandedOut State = "handed_out" // an applier has it, or had it when it ended
	StateRetried   State = "retried"    // an applier tries again to settle it
	StateParked    State = "parked"     // it waits in a row of its own while others go on
)

// Outcome says what a success did.
type Outcome string

const (
	Applied   Outcome = "applied"
	Duplicate Outcome = "duplicate" // same idempotency key as an earlier success: nothing changed
	Skipped   Outcome = "skipped"   // a condition did not hold: nothing changed
)

// Reason says why a delivery failed. The list is closed: programs switch on it.
type Reason string

const (
	InvalidJSON           Reason = "invalid_json"
	InvalidPayload        Reason = "invalid_payload"
	DecryptionFailed      Reason = "decryption_failed"
	MissingUserIdentifier Reason = "missing_user_identifier"
	InvalidUserIdentifier Reason = "invalid_user_identifier"
	UserNotFound          Reason = "user_not_found"
	MissingField          Reason = "missing_field"
	InvalidAmount         Reason = "invalid_amount"
	NegativeAmount        Reason = "negative_amount"
	AmountOutOfRange      Reason = "amount_out_of_range"
	InsufficientBalance   Reason = "insufficient_balance"
	BalanceLimitExceeded  Reason = "balance_limit_exceeded"
	InvalidFieldValue     Reason = "invalid_field_value"
	IdempotencyConflict   Reason = "idempotency_conflict"
	WebhookDeleted        Reason = "webhook_deleted"
	InvalidMapping        Reason = "invalid_mapping"
	MalformedDelivery     Reason = "malformed_delivery"
	Internal              Reason = "internal"
)

var reasons = []Reason{
	InvalidJSON, InvalidPayload, DecryptionFailed, MissingUserIdentifier, InvalidUserIdentifier,
	UserNotFound, MissingField, InvalidAmount, NegativeAmount, AmountOutOfRange,
	InsufficientBalance, BalanceLimitExceeded, InvalidFieldValue,
	IdempotencyConflict, WebhookDeleted, InvalidMapping, MalformedDelivery, Internal,
}

// Reasons returns the closed list, in the order of the documentation.
func Reasons() []Reason { return slices.Clone(reasons) }

// Failure is why one delivery cannot be executed. The cause is the delivery
// itself, never an outage of the broker or database.
type Failure struct {
	Reason Reason
	// Detail is a sentence for an admin. It names the path, the value's kind and
	// the limit; it never holds a secret.
	Detail string
	// Path is the path in the payload at fault, where there is one. Dead letters
	// are grouped by it.
	Path string
}

func (f *Failure) Error() string { return string(f.Reason) + ": " + f.Detail }

// Verdict is what has become of one delivery of a batch.
type Verdict struct {
	// RetryAfter is 0 for a delivery that is settled: its row is committed. A delivery
	// that is neither settled nor parked is tried again after this time.
	RetryAfter time.Duration
	// Parked: the delivery waits for its own webhook or user, and later ones go
	// on.
	Parked bool
	// Err says why a delivery must be tried again, or is parked.
	Err error
}

// Settled is the verdict on a delivery whose outcome is committed.
var Settled = Verdict{}

// Retry is the verdict on a delivery that could not be decided now.
func Retry(after time.Duration, err error) Verdict {
	return Verdict{RetryAfter: max(after, time.Millisecond), Err: err}
}

// Parked is the verdict on a delivery that waits in a row of its own.
func Parked(err error) Verdict { return Verdict{Parked: true, Err: err} }

// IsSettled reports whether the delivery has its outcome.
func (v Verdict) IsSettled() bool { return v.RetryAfter == 0 && !v.Parked }
