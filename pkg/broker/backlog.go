package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Stream reads what lies in the stream of deliveries.
type Stream struct {
	js     jetstream.JetStream
	stream jetstream.Stream
}

// OpenStream opens the stream of deliveries for reading.
func (c *Conn) OpenStream(ctx context.Context) (*Stream, error) {
	s, err := c.deliveries(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the stream %s: %w", deliveriesStream, notSetUp(err))
	}
	return &Stream{js: c.js, stream: s}, nil
}

// Backlog is the part of the stream that may hold deliveries without an
// outcome: the sequences from First to Last. It is empty when First > Last.
type Backlog struct {
	First, Last uint64
}

// Backlog returns what lies beyond the appliers' ack floor.
func (s *Stream) Backlog(ctx context.Context) (Backlog, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return Backlog{}, fmt.Errorf("look at the stream: %w", err)
	}
	consumer, err := s.stream.Consumer(ctx, applierConsumer)
	if err != nil {
		return Backlog{}, fmt.Errorf("look at the consumer %s: %w", applierConsumer, notSetUp(err))
	}
	state, err := consumer.Info(ctx)
	if err != nil {
		return Backlog{}, fmt.Errorf("look at the consumer %s: %w", applierConsumer, err)
	}
	return Backlog{First: max(state.AckFloor.Stream+1, info.State.FirstSeq), Last: info.State.LastSeq}, nil
}

// Bounds returns the first and the last sequence of the stream. It is empty when
// last is 0 or before first.
func (s *Stream) Bounds(ctx context.Context) (first, last uint64, err error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("look at the stream: %w", err)
	}
	return info.State.FirstSeq, info.State.LastSeq, nil
}

// Deliveries returns those of one message, none if the message is gone.
func (s *Stream) Deliveries(ctx context.Context, sequence uint64) ([]delivery.Delivery, error) {
	msg, err := s.stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read message %d of the stream: %w", sequence, err)
	}
	return decodeBatch(msg.Data, msg.Sequence, msg.Time, 0), nil
}
