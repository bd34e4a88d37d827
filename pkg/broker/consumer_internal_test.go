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

// A pull asks for as many messages as have room, by the size that they have.
func TestAPullIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	c := NewConsumer(nil, nil, ConsumerOptions{})
	if got, want := c.pullSize(), pullBytes/maxBatchBytes; got != want {
		t.Errorf("before the first message it asks for %d, want %d", got, want)
	}
	come := func(messages, bytes int) {
		for range messages {
			c.typical = nextTypical(c.typical, bytes)
		}
	}
	come(300, 400)
	if got := c.pullSize(); got != pullMessages {
		t.Errorf("of small messages it asks for %d, want %d", got, pullMessages)
	}
	come(1, maxMessageBytes)
	if got, want := c.pullSize(), pullBytes/maxMessageBytes; got != want {
		t.Errorf("after one large message it asks for %d, want %d", got, want)
	}
	come(300, 1)
	if c.typical != 1 {
		t.Errorf("after 300 messages of one byte it expects %d", c.typical)
	}
	c.bytes = lowWaterBytes - 1
	come(1, maxMessageBytes)
	if got := c.pullSize(); got != 1 {
		t.Errorf("with no room left it asks for %d, want 1", got)
	}
}
