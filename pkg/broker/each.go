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
	// it is still to come, and openAgain how often before it is asked for anew: the
	// server that was to send it may be gone, and nobody say so.
	lookAgain = time.Second
	openAgain = 5
	// eachTries is how often it is tried to go on where the connection was lost.
	eachTries = 5
)

// Each hands out all messages of an extent in their order, whoever has consumed
// them. It takes nothing from the appliers. What is removed meanwhile, or was never
// there, is left out.
func (s *Stream) Each(ctx context.Context, e Extent, f func(Message) error) error {
	for wanted := max(e.First, 1); wanted <= e.Last; {
		ends, err := s.eachFrom(ctx, &wanted, e.Last, f)
		if ends || err != nil {
			return err
		}
	}
	return nil
}

// eachFrom hands out messages from the one wanted on, which moves with them. It
// returns whether there are no more, or else that they have to be asked for anew.
func (s *Stream) eachFrom(ctx context.Context, wanted *uint64, last uint64, f func(Message) error) (ends bool, err error) {
	consumer, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.Consumer, error) { // as watch
		return s.js.OrderedConsumer(ctx, deliveriesStream, jetstream.OrderedConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *wanted, InactiveThreshold: consumerIdle,
			MaxResetAttempts: eachTries,
		})
	})
	if err != nil {
		return false, fmt.Errorf("read the stream: %w", notSetUp(err))
	}
	// A limit in bytes is safe here, unlike with Fetch (see Feed): an ordered
	// consumer has one copy, and Messages goes on after a status.
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(feedMessages, feedBytes))
	if err != nil {
		return false, fmt.Errorf("read the stream: %w", err)
	}
	defer messages.Stop()
	// What goes on after a lost connection knows nothing of ctx.
	defer context.AfterFunc(ctx, messages.Stop)()
	for silent := 0; silent < openAgain; {
		m, ok, err := s.next(ctx, messages)
		if err != nil {
			return false, err
		}
		if !ok {
			if ends, err := s.endsBefore(ctx, *wanted, last); ends || err != nil {
				return ends, err
			}
			silent++
			continue
		}
		silent = 0
		if m.Sequence <= last {
			if err := f(m); err != nil {
				return false, err
			}
		}
		if *wanted = m.Sequence + 1; *wanted > last {
			return true, nil
		}
	}
	return false, nil
}

// next returns the next message; ok is false if none has come for a while.
func (s *Stream) next(ctx context.Context, messages jetstream.MessagesContext) (m Message, ok bool, err error) {
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
		Deliveries: s.proof.decode(msg.Headers(), msg.Data(), meta.Sequence.Stream, meta.Timestamp, 0, nil),
	}, true, nil
}

// endsBefore reports whether the stream has nothing of the sequences wanted to
// last, for all of it was removed, or the stream is shorter.
func (s *Stream) endsBefore(ctx context.Context, wanted, last uint64) (bool, error) {
	m, err := s.stream.GetMsg(ctx, wanted, jetstream.WithGetMsgSubject(deliveriesSubject)) // that one or the next
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for message %d of the stream: %w", wanted, err)
	}
	return m.Sequence > last, nil
}
