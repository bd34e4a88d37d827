package broker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// giveBack hands messages over to another applier. The delay is for the broker
// to learn that this one does not pull any more.
func giveBack(messages []*message) {
	for _, m := range messages {
		if err := m.msg.NakWithDelay(giveBackDelay); err != nil {
			return // AckWait gives it back
		}
	}
}

// keepAlive tells the broker that what waits here and what is in work is being
// looked after, so that no other applier is given it.
func (c *Consumer) keepAlive(ctx context.Context) error {
	tick := time.NewTicker(AckWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		for _, m := range c.held() {
			if err := m.msg.InProgress(); err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
				break // the connection is gone; what is held comes back
			}
		}
	}
}

func (c *Consumer) held() []*message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.working, c.queue)
}

// Held returns the messages that wait here or are in work.
func (c *Consumer) Held() Spans {
	var sequences []uint64
	for _, m := range c.held() {
		sequences = append(sequences, m.sequence)
	}
	slices.Sort(sequences) // one that comes back is behind later ones
	return NewSpans(sequences...)
}
