package delivery

import "time"

// Replay says why a dead letter runs again, and how. The delivery keeps its id
// and so can succeed once at most.
type Replay struct {
	// ID tells this replay from all others of the delivery: a message that the
	// broker delivers twice is one replay.
	ID    ID
	Cause Cause
	// RequestedBy is who asked for it, such as "anna@office".
	RequestedBy string
	RequestedAt time.Time
	// Note says why, in the words of who asked. It may be empty.
	Note string
	// Revision is the lowest revision of the definition that may decide it.
	Revision uint64
	// Version is that of the definition to decide by; 0 is the current one.
	Version int
	// Edited is set when the body is a payload that an admin edited. It is not
	// encrypted then.
	Edited bool
}

// Cause is what made a delivery run again.
type Cause string

const (
	Manual    Cause = "manual"     // named by its id
	Bulk      Cause = "bulk"       // one of a group or filter
	UserFound Cause = "user_found" // the user that was missing appeared
)
