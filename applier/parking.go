package applier

import (
	"context"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// ParkReason is why a delivery cannot be decided now. It is the value of `pending.why`.
type ParkReason string

// Paused, KeyUnavailable and NewerFormat are about a webhook: its later deliveries are
// parked, too. UserLocked is about a user, and then the user's later deliveries are
// parked, too.
const (
	Paused         ParkReason = "paused"
	KeyUnavailable ParkReason = "key_unavailable"
	UserLocked     ParkReason = "user_locked"
	NewerFormat    ParkReason = "newer_format"
)

// Detail says what an admin can do if nothing more is known.
func (r ParkReason) Detail() string {
	switch r {
	case Paused:
		return errPaused.Error()
	case UserLocked:
		return errUserLocked.Error()
	case NewerFormat:
		return errNewer.Error()
	}
	return "its webhook's key cannot be opened: give all appliers the COINHOOK_MASTER_KEY that sealed it"
}

// Parking is a delivery that has to wait in its own row. The floor may pass its message,
// and other deliveries go on.
type Parking struct {
	Item
	Reason ParkReason
	// Detail is a sentence for an admin: what is in the way. It holds no secret.
	Detail string
}

// ParkedWebhook is a webhook that has parked deliveries, none of which waits for a
// user.
type ParkedWebhook struct {
	ID string
	// Reason is that of the oldest of them.
	Reason ParkReason
}

// ParkingStore is a Store that keeps deliveries which cannot be decided now. The
// deliveries that it returns are as they were parked, except that Slot is never 0. One
// that is Newer has no payload: it has to be read from the stream again.
type ParkingStore interface {
	Store
	// Locate finds the user of each item, zero where there is none. It locks nobody.
	Locate(ctx context.Context, batch []Item) ([]delivery.ID, error)
	// Park has deliveries wait for their webhooks, in one transaction and under the
	// items' leases. It is idempotent: of a delivery that is parked, only what it waits
	// for changes. It parks nothing that Settle would find to be known or forgotten.
	Park(ctx context.Context, batch []Parking) error
	// ParkedWebhooks returns the webhooks with deliveries that wait for them.
	ParkedWebhooks(ctx context.Context, p delivery.Partition) ([]ParkedWebhook, error)
	// ParkedOf returns the deliveries that wait for a webhook, in the order of the
	// stream: after a position, or from the first one if it is nil. A restored stream
	// uses positions again, so two deliveries can have the same one. If nothing is after
	// the position, ask once more from the first one.
	ParkedOf(ctx context.Context, p delivery.Partition, webhookID string, after *delivery.Place, limit int) ([]delivery.Delivery, error)
	// ParkedOfUsers returns deliveries that wait for users who are not locked at this
	// moment. The users with the oldest deliveries come first, each with the first of its
	// deliveries in the order of the stream. If all users are locked, it returns one
	// delivery of each: it returns none only if none waits.
	ParkedOfUsers(ctx context.Context, p delivery.Partition, limit int) ([]delivery.Delivery, error)
}
