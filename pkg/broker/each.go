package broker

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Extent is what the stream holds: the sequences First to Last, and none when
// Last < First.
type Extent struct {
	First, Last uint64
}

// Extent returns what the stream holds now.
func (s *Stream) Extent(ctx context.Context) (Extent, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return Extent{}, fmt.Errorf("look at the stream: %w", err)
	}
	return Extent{First: info.State.FirstSeq, Last: info.State.LastSeq}, nil
}

// Each hands out all messages of an extent in their order, whoever has consumed
// them. It takes nothing from the appliers.
func (s *Stream) Each(ctx context.Context, e Extent, f func(Message) error) error {
	if e.Last < e.First || e.Last == 0 {
		return nil
	}
	consumer, err := s.js.OrderedConsumer(ctx, deliveriesStream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(e.First, 1), InactiveThreshold: consumerIdle,
	})
	if err != nil {
		return fmt.Errorf("read the stream: %w", notSetUp(err))
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes))
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		m := Message{
			Sequence: meta.Sequence.Stream, StoredAt: meta.Timestamp,
			Deliveries: decodeBatch(msg.Data(), meta.Sequence.Stream, meta.Timestamp, 0),
		}
		if m.Sequence <= e.Last {
			if err := f(m); err != nil {
				return err
			}
		}
		if m.Sequence >= e.Last {
			return nil
		}
	}
}
