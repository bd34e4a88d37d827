package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// WentBack reports whether a stream of that extent is older than one that had a
// message, stored at that time to the microsecond: it ends before it, or has
// another message there. What was removed since does not count.
func (s *Stream) WentBack(ctx context.Context, e Extent, sequence uint64, storedAt time.Time) (bool, error) {
	if e.Last < sequence {
		return true, nil
	}
	if sequence < e.First || storedAt.IsZero() {
		return false, nil
	}
	m, ok, err := s.Message(ctx, sequence)
	return ok && !m.StoredAt.Truncate(time.Microsecond).Equal(storedAt), err
}

const (
	// lookAgain is how long it is waited for a message before it is looked whether
	// it is still to come.
	lookAgain = time.Second
	// eachTries is how often it is tried to go on where the connection was lost.
	eachTries = 5
)

// Each hands out all messages of an extent in their order, whoever has consumed
// them. It takes nothing from the appliers. What is removed meanwhile, or was never
// there, is left out.
func (s *Stream) Each(ctx context.Context, e Extent, f func(Message) error) error {
	wanted := max(e.First, 1)
	if e.Last < wanted {
		return nil
	}
	consumer, err := s.js.OrderedConsumer(ctx, deliveriesStream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: wanted, InactiveThreshold: consumerIdle,
		MaxResetAttempts: eachTries,
	})
	if err != nil {
		return fmt.Errorf("read the stream: %w", notSetUp(err))
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes))
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	defer messages.Stop()
	// What goes on after a lost connection knows nothing of ctx.
	defer context.AfterFunc(ctx, messages.Stop)()
	for {
		m, ok, err := next(ctx, messages)
		if err != nil {
			return err
		}
		if !ok {
			if ends, err := s.endsBefore(ctx, wanted, e.Last); ends || err != nil {
				return err
			}
			continue
		}
		if m.Sequence <= e.Last {
			if err := f(m); err != nil {
				return err
			}
		}
		if m.Sequence >= e.Last {
			return nil
		}
		wanted = m.Sequence + 1
	}
}

// next returns the next message; ok is false if none has come for a while.
func next(ctx context.Context, messages jetstream.MessagesContext) (m Message, ok bool, err error) {
	wait, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	msg, err := messages.Next(jetstream.NextContext(wait))
	if ctx.Err() != nil {
		return m, false, context.Cause(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("read the stream: %w", err)
	}
	meta, err := msg.Metadata()
	if err != nil {
		return m, false, fmt.Errorf("read the stream: %w", err)
	}
	return Message{
		Sequence: meta.Sequence.Stream, StoredAt: meta.Timestamp,
		Deliveries: decodeBatch(msg.Data(), meta.Sequence.Stream, meta.Timestamp, 0),
	}, true, nil
}

// endsBefore reports whether the stream has nothing of the sequences wanted to
// last, for all of it was removed, or the stream is shorter.
func (s *Stream) endsBefore(ctx context.Context, wanted, last uint64) (bool, error) {
	now, err := s.Extent(ctx)
	return now.First > last || now.Last < wanted, err
}
