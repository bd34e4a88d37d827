package broker

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// sized is a message with so many bytes and one delivery.
func sized(sequence uint64, bytes int) *message {
	return &message{msg: dataOf(make([]byte, bytes)), sequence: sequence, deliveries: make([]delivery.Delivery, 1)}
}

type rawMessage struct {
	jetstream.Msg
	data []byte
}

func (m rawMessage) Data() []byte { return m.data }

func dataOf(data []byte) jetstream.Msg { return rawMessage{data: data} }

// Large bodies are handed out, and pulled, by their bytes.
func TestWhatIsHandedOutIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	const half = handedBytes / 2
	c := NewConsumer(nil, nil, ConsumerOptions{})
	for i, bytes := range []int{half, half, 1, 2 * handedBytes, 1, lowWaterBytes} {
		m := sized(uint64(i+1), bytes)
		c.queue, c.waiting, c.bytes = append(c.queue, m), c.waiting+1, c.bytes+m.bytes()
	}
	if c.belowLowWater() {
		t.Error("more is pulled though the queue has its bytes")
	}
	for _, want := range []int{2, 1, 1, 1, 1, 0} { // one message always, though it is larger
		if got := len(c.take()); got != want {
			t.Fatalf("%d messages are handed out, want %d", got, want)
		}
	}
	if !c.belowLowWater() || c.bytes != 0 || c.waiting != 0 {
		t.Errorf("nothing waits any more, and it counts %d bytes, %d deliveries", c.bytes, c.waiting)
	}
}
