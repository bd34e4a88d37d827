package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StoredBefore returns the last message of an extent that was stored before a
// moment, 0 if none was. Messages are stored in the order of their sequences.
func (s *Stream) StoredBefore(ctx context.Context, e Extent, moment time.Time) (sequence uint64, err error) {
	low, high := max(e.First, 1), e.Last+1 // what is below low is older, what is from high on is not
	for low < high {
		middle := low + (high-low)/2
		m, ok, err := s.Message(ctx, middle)
		if err != nil {
			return 0, err
		}
		if !ok || m.StoredAt.Before(moment) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low <= max(e.First, 1) {
		return 0, nil
	}
	return low - 1, nil
}

// RemoveTo removes all messages up to this one. The caller knows that nobody
// needs them any more.
func (s *Stream) RemoveTo(ctx context.Context, sequence uint64) error {
	if err := s.stream.Purge(ctx, jetstream.WithPurgeSequence(sequence+1)); err != nil {
		return fmt.Errorf("remove messages up to %d from the stream: %w", sequence, err)
	}
	return nil
}
