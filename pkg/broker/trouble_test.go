package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

// said is an entry of the bucket.
type said struct {
	jetstream.KeyValueEntry
	at    time.Time
	value string
}

func (s said) Created() time.Time { return s.at }
func (s said) Value() []byte      { return []byte(s.value) }

func TestTroublesAreBelievedForHalfAMinute(t *testing.T) {
	t.Parallel()
	now := time.Now()
	got := believed([]jetstream.KeyValueEntry{
		said{at: now.Add(-29 * time.Second), value: `{"applier":"b"}`},
		said{at: now.Add(-31 * time.Second), value: `{"applier":"killed"}`},
		said{at: now, value: `of another version`},
		said{at: now.Add(time.Second), value: `{"applier":"a"}`},
	}, now)
	if diff := cmp.Diff([]Trouble{{Applier: "a"}, {Applier: "b"}}, got); diff != "" {
		t.Error(diff)
	}
}
