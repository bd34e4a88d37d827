package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StoredBefore returns the last message of an extent that was stored before a
// moment, 0 if none was. The leader's clock gives the times: after a leader whose
// clock differs, they may step back, or stay ahead. The message returned is then
// wrong by about that difference. It lies before the first message that is found
// to be younger, so that a clock behind does not hide what is young before it.
func (s *Stream) StoredBefore(ctx context.Context, e Extent, moment time.Time) (sequence uint64, err error) {
	return lastBefore(max(e.First, 1), e.Last, func(sequence uint64) (bool, error) {
		at, ok, err := s.storedAt(ctx, sequence)
		return !ok || at.Before(moment), err
	})
}

// lastBefore returns the last of the sequences that is before, 0 for none. It
// starts at the first, where little has to be removed each time, with steps that
// double, and halves the last step.
func lastBefore(first, last uint64, isBefore func(uint64) (bool, error)) (uint64, error) {
	low, high := first, last+1 // what is below low is before, what is from high on is not
	for step := uint64(1); low < high; step *= 2 {
		next := min(low+step-1, last)
		before, err := isBefore(next)
		if err != nil {
			return 0, err
		}
		if !before {
			high = next
			break
		}
		low = next + 1
	}
	for low < high {
		middle := low + (high-low)/2
		before, err := isBefore(middle)
		if err != nil {
			return 0, err
		}
		if before {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low <= first {
		return 0, nil
	}
	return low - 1, nil
}

// RemoveTo removes all messages up to this one. The caller must know that
// nobody needs them.
func (s *Stream) RemoveTo(ctx context.Context, sequence uint64) error {
	if err := s.stream.Purge(ctx, jetstream.WithPurgeSequence(sequence+1)); err != nil {
		return fmt.Errorf("remove messages up to %d from the stream: %w", sequence, err)
	}
	return nil
}
