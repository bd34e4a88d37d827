package brokertest

import (
	"context"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Handler settles deliveries of one message and returns a verdict on each, in order.
type Handler func(ctx context.Context, deliveries []delivery.Delivery) []delivery.Verdict

// Consumer stands for appliers that own all partitions.
type Consumer struct {
	conn   *broker.Conn
	handle Handler
}

// NewConsumer returns a consumer that has handle settle what it reads.
func NewConsumer(conn *broker.Conn, handle Handler) *Consumer { return &Consumer{conn, handle} }

// Run consumes until ctx is done. A delivery that is not settled is tried again, and
// those behind it in its partition wait.
func (c *Consumer) Run(ctx context.Context) error {
	partitions, err := c.conn.Partitions(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, p := range partitions {
		feed := c.conn.NewFeed(p.Partition, zerolog.Nop())
		g.Go(func() error { return feed.Run(ctx) })
		g.Go(func() error { return c.settle(ctx, feed) })
	}
	return g.Wait()
}

func (c *Consumer) settle(ctx context.Context, feed *broker.Feed) error {
	for {
		select {
		case r := <-feed.C():
			feed.Took(r)
			c.settleAll(ctx, feed, r)
			if len(feed.C()) > 0 {
				feed.HasNoRoom()
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *Consumer) settleAll(ctx context.Context, feed *broker.Feed, r broker.Received) {
	for rest := r.Deliveries; len(rest) > 0 && ctx.Err() == nil; {
		var open []delivery.Delivery
		for i, v := range c.handle(ctx, rest) {
			if v.IsSettled() {
				feed.Settled(r.Receipt, 1)
				continue
			}
			open = append(open, rest[i])
			select {
			case <-time.After(max(v.RetryAfter, 50*time.Millisecond)):
			case <-ctx.Done():
			}
		}
		rest = open
	}
}
