package admin

import (
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Finding is something that does not add up, in the form that programs read.
type Finding struct {
	Kind       string       `json:"kind"`
	DeliveryID *delivery.ID `json:"delivery_id"`
	UserID     *delivery.ID `json:"user_id"`
	Currency   *string      `json:"currency"`
	// Sequence is the message in the stream, 0 if it is about none.
	Sequence uint64 `json:"stream_sequence"`
	Detail   string `json:"detail"`

	// Part, FoundAt and Acked are of those that the audit that always runs found.
	Part    FindingsPart `json:"-"`
	FoundAt time.Time    `json:"-"`
	// Acked says that an admin has acknowledged it.
	Acked bool `json:"-"`
}

// FindingsPart is which part of the audit a finding is of, and so which part has
// to find it again.
type FindingsPart string

// The parts of the audit.
const (
	StreamFindings     FindingsPart = "stream"
	AccountFindings    FindingsPart = "accounts"
	DeliveriesFindings FindingsPart = "deliveries"
)

// FindingKey tells findings apart. Only a finding with the same detail is covered by
// an acknowledgement.
type FindingKey struct {
	Kind               string
	DeliveryID, UserID delivery.ID
	Currency           string
	Sequence           uint64
	Detail             string
}

// Key returns the finding's key.
func (f Finding) Key() FindingKey {
	return FindingKey{f.Kind, OrEmpty(f.DeliveryID), OrEmpty(f.UserID), OrEmpty(f.Currency), f.Sequence, f.Detail}
}

// IsAbout reports whether it is about the delivery or user with an id.
func (f Finding) IsAbout(id delivery.ID) bool {
	return id != (delivery.ID{}) && (OrEmpty(f.DeliveryID) == id || OrEmpty(f.UserID) == id)
}

// Acknowledged is a finding that an admin has acknowledged.
type Acknowledged struct {
	Finding
	By   string    `json:"acknowledged_by"`
	Note string    `json:"note"`
	At   time.Time `json:"acknowledged_at"`
}
