package broker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// readFloor returns the message behind which the partition goes on.
func (f *Feed) readFloor(ctx context.Context) (uint64, error) {
	durable, err := patiently(ctx, askFor, func(ctx context.Context) (jetstream.Consumer, error) {
		return f.conn.js.Consumer(ctx, deliveriesStream, f.partition.Name())
	})
	if err != nil {
		return 0, fmt.Errorf("open the consumer %s: %w", f.partition.Name(), err)
	}
	return partitionState(durable.CachedInfo()).Floor, nil
}

// keepFloor writes the floor when it has moved, until reading ends. It also reads it
// every few seconds: a former owner that was frozen may have moved it back.
func (f *Feed) keepFloor(reading context.Context) error {
	write, compare := time.NewTicker(floorEvery), time.NewTicker(compareEvery)
	defer write.Stop()
	defer compare.Stop()
	idle := time.NewTicker(idleFloorEvery)
	defer idle.Stop()
	for {
		var err error
		select {
		case <-reading.Done():
			return context.Cause(reading)
		case <-f.tell: // here, because a slow connection must not delay a lane
			f.mu.Lock()
			floor := f.floor
			f.mu.Unlock()
			f.conn.tellFloor(f.partition, floor)
		case <-write.C:
			if f.hasPassed() {
				err = f.Flush(reading)
			}
		case <-idle.C:
			err = f.Flush(reading)
		case <-compare.C:
			var floor uint64
			if floor, err = f.readFloor(reading); err == nil {
				f.writing.Lock()
				f.written = floor
				f.writing.Unlock()
			}
		}
		if err != nil && f.conn.Connected() {
			f.log.Debug().Err(err).Msg("cannot save the floor of a partition, trying again")
		}
	}
}

// hasPassed reports whether deliveries of the partition are settled that the written
// floor does not count.
func (f *Feed) hasPassed() bool {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.passed > f.written
}

// advance moves the floor up to the first message that is not settled.
func (f *Feed) advance() {
	n := 0
	for n < len(f.open) && f.open[n].left <= 0 {
		f.floor = f.open[n].sequence
		if f.open[n].mine {
			f.passed = f.floor
		}
		n++
	}
	f.settled = append(f.settled, f.open[:n]...)
	clear(f.open[:n])
	f.open = f.open[n:]
}

// Flush writes the floor if it has moved, so that the next owner begins behind it. It
// writes nothing through another connection than that of the session.
func (f *Feed) Flush(ctx context.Context) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.mu.Lock()
	floor, connection := f.floor, f.connection
	f.mu.Unlock()
	if floor == f.written {
		return nil
	}
	if connection != f.conn.nc.Stats().Reconnects {
		return fmt.Errorf("write the floor of partition %s: %w", f.partition, ErrNotConnected)
	}
	ctx, cancel := context.WithTimeout(ctx, answerSoon)
	defer cancel()
	if _, err := f.conn.js.ResetConsumerToSequence(ctx, deliveriesStream, f.partition.Name(), floor+1); err != nil {
		return fmt.Errorf("write the floor of partition %s: %w", f.partition, err)
	}
	f.written = floor
	f.mu.Lock()
	f.settled = slices.DeleteFunc(f.settled, func(r *Receipt) bool { return r.sequence <= floor })
	f.mu.Unlock()
	return nil
}
