package applier

// ParkReason is why a delivery cannot be decided now. It is one of the contract's
// words for `pending.why`.
type ParkReason string

// Paused, KeyUnavailable and NewerFormat are about a webhook: its later deliveries are
// parked behind. UserLocked is about a user: the user's later deliveries are.
const (
	Paused         ParkReason = "paused"
	KeyUnavailable ParkReason = "key_unavailable"
	UserLocked     ParkReason = "user_locked"
	NewerFormat    ParkReason = "newer_format"
)

// Parking is a delivery that has to wait in its own row: its message is acked, and
// other deliveries go on.
type Parking struct {
	Item
	Reason ParkReason
	// Detail is a sentence for an admin: what is in the way. It holds no secret.
	Detail string
}
