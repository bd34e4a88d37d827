package broker

import (
	"context"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// ReadAnEmptyServer is a reading from a server without its disk. It reports whether the
// catalog takes that for all that there is.
func (c *Catalog) ReadAnEmptyServer(ctx context.Context, waited bool) (taken bool, err error) {
	bucket, err := c.conn.js.Stream(ctx, webhooksStream)
	if err != nil {
		return false, err
	}
	now, err := identify(ctx, bucket)
	return c.take(reading{all: map[string]*webhook.Webhook{}, bucket: now}, waited), err
}

// Claim takes a webhook's name, as saving it does first.
func (d *Definitions) Claim(ctx context.Context, rec webhook.Record) error {
	bucket, err := d.bucket(ctx)
	if err != nil {
		return err
	}
	return d.claim(ctx, bucket, rec)
}

// Partitions are the partitions that have a consumer.
func (s *Stream) Partitions(ctx context.Context) ([]PartitionState, error) { return s.partitions(ctx) }

// PartitionConfig is the consumer of a partition.
var PartitionConfig = partitionConfig

// PartitionSteps are the changes that a setup of the partitions would make, one by one.
func (c *Conn) PartitionSteps(ctx context.Context, t Topology) ([]func(context.Context) error, error) {
	x, err := c.lookPartitions(ctx, t.Table)
	if err != nil {
		return nil, err
	}
	return x.plan(t.Partitions).steps(c, t), nil
}

// Reconnects is how often the connection was lost and is there again.
func (c *Conn) Reconnects() uint64 { return c.nc.Stats().Reconnects }

// IsReading reports whether a session with the broker is open.
func (f *Feed) IsReading() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.active
}
