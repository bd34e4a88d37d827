package broker

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// The session may end before the owner has room for the last message. Until the next one
// reads it again, the generation is not finished: its deliveries have no rows.
func TestAMessageThatWasNotTakenDoesNotFinishTheGeneration(t *testing.T) {
	t.Parallel()
	f := &Feed{partition: delivery.Partition{Count: 1}}
	f.begin(4, 0)
	f.EndAt(5)
	meta := &nats.MsgMetadata{Sequence: nats.SequencePair{Stream: 5}, Timestamp: time.Now()}
	r := f.track(meta, 1)
	f.untrack(r)
	if f.IsFinished() {
		t.Error("the generation is finished without its last message")
	}
	// The next session brings it.
	f.end()
	f.begin(4, 1)
	r = f.track(meta, 1)
	if r == nil || f.IsFinished() {
		t.Fatalf("receipt %v of the message that is read again; finished: %v", r, f.IsFinished())
	}
	f.Settled(r, 1)
	if !f.IsFinished() {
		t.Error("the generation is not finished, with rows of all")
	}
}
