package broker

import (
	"testing"

	"github.com/nats-io/nats.go"
)

// Some statuses end a request as they should. Each other one ends the reading, and the next
// one begins behind the messages that were settled.
func TestTheEndOfARequestForMessages(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		code, description string
		isOver, isError   bool
	}{
		{code: "100", description: "Idle Heartbeat"},
		{code: "404", description: "No Messages", isOver: true},
		{code: "408", description: "Request Timeout", isOver: true},
		{code: "409", description: "Message Size Exceeds MaxBytes", isOver: true},
		{code: "409", description: "Consumer Deleted", isOver: true, isError: true},
		{code: "409", description: "Leadership Change", isOver: true, isError: true},
		{code: "503", isOver: true, isError: true},
	} {
		isOver, err := readStatus(nats.Header{"Status": {tc.code}, "Description": {tc.description}})
		if isOver != tc.isOver || (err != nil) != tc.isError {
			t.Errorf("%s %s: over %v, %v", tc.code, tc.description, isOver, err)
		}
	}
}
