package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Stream reads what lies in the stream of deliveries.
type Stream struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	proof  proof
	// headersOnly says that the bodies of messages are not for this program.
	headersOnly bool
}

// OpenStream opens the stream of deliveries for reading.
func (c *Conn) OpenStream(ctx context.Context) (*Stream, error) {
	s, err := c.deliveries(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the stream %s: %w", deliveriesStream, notSetUp(err))
	}
	return &Stream{js: c.js, stream: s, proof: c.proofOf(s), headersOnly: c.role == Ingress}, nil
}

// Message is one message of the stream.
type Message struct {
	Sequence uint64
	// StoredAt is by the broker's clock, and rises with the sequence.
	StoredAt   time.Time
	Deliveries []delivery.Delivery
}

// Message returns one message; ok is false if it is gone.
func (s *Stream) Message(ctx context.Context, sequence uint64) (m Message, ok bool, err error) {
	msg, err := s.stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Message{}, false, nil
	}
	if err != nil {
		return Message{}, false, fmt.Errorf("read message %d of the stream: %w", sequence, err)
	}
	return Message{
		Sequence: msg.Sequence, StoredAt: msg.Time,
		Deliveries: s.proof.decode(msg.Header, msg.Data, msg.Sequence, msg.Time, 0, nil),
	}, true, nil
}

// Deliveries returns those of one message, none if the message is gone.
func (s *Stream) Deliveries(ctx context.Context, sequence uint64) ([]delivery.Delivery, error) {
	m, _, err := s.Message(ctx, sequence)
	return m.Deliveries, err
}
