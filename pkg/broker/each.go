package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Extent is what the stream holds: the sequences First to Last, and none if
// Last < First.
type Extent struct {
	First, Last uint64
}

// Extent returns what the stream holds now.
func (s *Stream) Extent(ctx context.Context) (Extent, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return Extent{}, fmt.Errorf("read the state of the stream: %w", err)
	}
	return Extent{First: info.State.FirstSeq, Last: info.State.LastSeq}, nil
}

// WentBack reports whether the stream was restored from a backup that is older than
// a message, stored at that time to the microsecond: the stream ends before the
// message, or has another one there. A removed message does not count.
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
	// lookAgain is how long to wait for a message before checking whether one is due.
	// After openAgain checks the consumer is made again: the server that was to send
	// the message may have gone silently.
	lookAgain = time.Second
	openAgain = 5
	// eachTries is how often a lost connection is followed by another attempt.
	eachTries = 5
)

// Each passes all messages of an extent to f in their order, consumed or not. It
// takes no message from the appliers. Messages that were removed are left out.
func (s *Stream) Each(ctx context.Context, e Extent, f func(Message) error) error {
	for wanted := max(e.First, 1); wanted <= e.Last; {
		ends, err := s.eachFrom(ctx, &wanted, e.Last, f)
		if ends || err != nil {
			return err
		}
	}
	return nil
}

// eachFrom passes on the messages from wanted on, and moves wanted with them. It
// returns true at the end, and false if the consumer has to be made again.
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
	// A limit in bytes is safe here: an ordered consumer has one copy, and Messages goes
	// on after a status.
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes))
	if err != nil {
		return false, fmt.Errorf("read the stream: %w", err)
	}
	defer messages.Stop()
	// Messages goes on after a lost connection and does not know ctx.
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

// endsBefore reports whether the stream has no message from wanted to last, because
// all were removed or the stream is shorter.
func (s *Stream) endsBefore(ctx context.Context, wanted, last uint64) (bool, error) {
	m, err := s.stream.GetMsg(ctx, wanted, jetstream.WithGetMsgSubject(deliveriesSubject)) // that one or the next
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read message %d of the stream: %w", wanted, err)
	}
	return m.Sequence > last, nil
}
