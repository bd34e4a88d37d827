package admin

import (
	"encoding/json"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Delivery is one line of the history, in the form that programs read.
type Delivery struct {
	ID          delivery.ID       `json:"id"`
	WebhookID   string            `json:"webhook_id"`
	Webhook     string            `json:"webhook"`
	Community   string            `json:"community"`
	Status      delivery.Status   `json:"status"`
	Outcome     *delivery.Outcome `json:"outcome"`
	Reason      *delivery.Reason  `json:"reason"`
	Detail      *string           `json:"detail"`
	User        *User             `json:"user"`
	Changes     []Change          `json:"changes"`
	Fields      []Field           `json:"fields"`
	ReceivedAt  time.Time         `json:"received_at"`
	FinishedAt  *time.Time        `json:"finished_at"`
	Attempts    int               `json:"attempts"`
	Replays     int               `json:"replays"`
	DuplicateOf *delivery.ID      `json:"duplicate_of"`
	// Pending is nil for a delivery that has its outcome.
	Pending *Pending `json:"pending"`
	// WaitingReplay is the first replay of a dead letter that is parked, nil for none.
	WaitingReplay *WaitingReplay `json:"waiting_replay"`
	Reverted      *Revert        `json:"reverted"`
	Source        Source         `json:"source"`
}

// Source says whose request a delivery is.
type Source string

const (
	FromWebhook Source = "webhook" // a sender's
	FromAdmin   Source = "admin"   // an adjustment
)

// SourceOf is that of the deliveries with a webhook's id.
func SourceOf(webhookID string) Source {
	if webhookID == applier.AdjustmentID {
		return FromAdmin
	}
	return FromWebhook
}

// Pending is what is known of a delivery without an outcome.
type Pending struct {
	// Overdue is set when it has been pending for longer than the limit.
	Overdue  bool           `json:"overdue"`
	State    delivery.State `json:"state"`
	Since    *time.Time     `json:"since"`
	Attempts *int           `json:"attempts"`
	Why      *string        `json:"why"`
	// Detail is a sentence on a parked delivery: what is in its way.
	Detail *string `json:"detail"`
}

// WaitingReplay is a replay that waits. The delivery stays failed until then.
type WaitingReplay struct {
	ID     delivery.ID        `json:"id"`
	Why    applier.ParkReason `json:"why"`
	Detail *string            `json:"detail"`
	Since  time.Time          `json:"since"`
}

// Letter is a dead letter: a delivery, with the columns that only dead letters have.
type Letter struct {
	Delivery
	Path *string `json:"path"`
	// Version is the definition's version at the last decision.
	Version      int       `json:"version"`
	FailedAt     time.Time `json:"failed_at"`
	PayloadBytes int       `json:"payload_bytes"`
	Edited       bool      `json:"edited"`

	// FirstVersion is the definition's version at the first decision.
	FirstVersion int `json:"-"`
	EditedBytes  int `json:"-"`
	// UserBy and UserKey are what a user that was not found is looked up by.
	UserBy  string `json:"-"`
	UserKey string `json:"-"`
}

// User names a user. Either name may be empty; both are once the user was erased.
type User struct {
	ID       delivery.ID `json:"id"`
	Email    string      `json:"email"`
	Username string      `json:"username"`
}

// MarshalJSON writes null for a name that the user does not have.
func (u User) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID       delivery.ID `json:"id"`
		Email    *string     `json:"email"`
		Username *string     `json:"username"`
	}{u.ID, OrNil(u.Email), OrNil(u.Username)})
}

// Name is what people know the user by, empty for no user.
func (u *User) Name() string {
	switch {
	case u == nil:
		return ""
	case u.Email != "":
		return u.Email
	case u.Username != "":
		return u.Username
	}
	return u.ID.String()
}

// Change is one change of a balance. Amounts are exact text.
type Change struct {
	Currency string `json:"currency"`
	Operator string `json:"operator"`
	Amount   string `json:"amount"`
	Balance  string `json:"balance"`
}

// Field is one custom field that a delivery set.
type Field struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// Revert says who reverted a delivery, and when.
type Revert struct {
	By   string    `json:"by"`
	Note *string   `json:"note"`
	At   time.Time `json:"at"`
}

// Log is a gamification log.
type Log struct {
	User User `json:"user"`
	Change
	Action     string      `json:"action"`
	DeliveryID delivery.ID `json:"delivery_id"`
	At         time.Time   `json:"at"`
	// Entry counts all logs, in the order in which they were written. The next
	// page is what is before the last one's.
	Entry     int64  `json:"-"`
	Community string `json:"-"`
}

// ParkedGroup is how many deliveries and replays of a webhook wait for a reason.
type ParkedGroup struct {
	Webhook, WebhookID, Community string
	Reason                        applier.ParkReason
	Detail                        string // of one of them
	// Count is how many deliveries wait, Replays how many replays of dead letters.
	Count, Replays int
	// AtLeast is set where not all were counted.
	AtLeast bool
	// Oldest is when the first delivery was received, or the first replay parked.
	Oldest time.Time
}

// IsQueuedTooLong reports whether a list has the delivery before all others.
func (d Delivery) IsQueuedTooLong() bool {
	return d.Pending != nil && d.Pending.Overdue && d.Pending.State != delivery.StateParked
}

// IsLocked reports whether the delivery waits for the row of its user.
func (d Delivery) IsLocked() bool {
	return d.User != nil && d.Pending != nil && d.Pending.Why != nil && *d.Pending.Why == string(applier.UserLocked)
}
