package broker

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// WatchAnEmptyServer is what a watch brings that is served by a server without its
// disk. It reports whether the catalog takes that for all that there is.
func (c *Catalog) WatchAnEmptyServer(ctx context.Context) (taken bool, err error) {
	bucket, err := c.conn.bucket(ctx)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	c.loading = map[string]*webhook.Webhook{}
	c.mu.Unlock()
	s := snapshot{bucket: bucket, sentAt: time.Now()}
	c.take(ctx, &s)
	return s.taken, nil
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
