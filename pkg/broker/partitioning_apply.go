package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// lookPartitions returns what there is.
func (c *Conn) lookPartitions(ctx context.Context, table PartitionTable) (x partitioning, err error) {
	if x.hasTable = table != nil; x.hasTable {
		if x.table, err = table.Generations(ctx); err != nil {
			return x, err
		}
	}
	info, err := c.streamInfo(ctx, deliveriesStream)
	if err != nil {
		return x, fmt.Errorf("read the state of the stream %s: %w", deliveriesStream, noLeader(err))
	}
	if info == nil { // what is made later has an incarnation of its own
		x.incarnation = "that of the new stream"
		return x, nil
	}
	x.incarnation, x.last = info.Config.Metadata[incarnationKey], info.State.LastSeq
	stream, err := c.OpenStream(ctx)
	if err != nil {
		return x, err
	}
	if x.consumers, _, err = stream.partitionConsumers(ctx); err != nil {
		return x, err
	}
	if !x.hasTable {
		x.table = x.ofConsumers()
	}
	legacy, err := stream.stream.Consumer(ctx, applierConsumer)
	switch {
	case err == nil:
		x.legacy = &legacy.CachedInfo().AckFloor.Stream
	case !errors.Is(err, jetstream.ErrConsumerNotFound):
		return x, fmt.Errorf("read the consumer %s: %w", applierConsumer, noLeader(err))
	}
	return x, nil
}

// planPartitions plans the partitions.
func (c *Conn) planPartitions(ctx context.Context, p *Plan, t Topology) error {
	x, err := c.lookPartitions(ctx, t.Table)
	if err != nil {
		return err
	}
	planned := x.plan(t.Partitions)
	if len(planned.differences) == 0 {
		return nil
	}
	p.Differences = append(p.Differences, planned.differences...)
	p.Risks = append(p.Risks, planned.risks...)
	p.steps = append(p.steps, func(ctx context.Context) error {
		// The streams may have been made since.
		x, err := c.lookPartitions(ctx, t.Table)
		if err != nil {
			return err
		}
		for _, step := range x.plan(t.Partitions).steps(c, t) {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
}

// steps does what the plan says. After each step a new plan finds what is left to do.
func (p *partitionPlan) steps(c *Conn, t Topology) (all []func(context.Context) error) {
	remove := func(name string) {
		all = append(all, func(ctx context.Context) error { return c.deleteConsumer(ctx, name) })
	}
	for _, name := range p.discard {
		remove(name)
	}
	for _, n := range p.create {
		all = append(all, func(ctx context.Context) error { return c.createPartition(ctx, n, t) })
	}
	for _, cfg := range p.update {
		all = append(all, func(ctx context.Context) error {
			if _, err := c.js.UpdateConsumer(ctx, deliveriesStream, cfg); err != nil {
				return fmt.Errorf("set up the consumer %s: %w", cfg.Durable, noLeader(err))
			}
			return nil
		})
	}
	// Appliers of the version before stop before those of this one may begin.
	if p.retire {
		remove(applierConsumer)
	}
	if p.save != nil {
		all = append(all, func(ctx context.Context) error {
			if err := t.Table.SaveGenerations(ctx, p.save); err != nil {
				return err
			}
			_ = c.HintPartitions() // losing it costs a second
			return nil
		})
	}
	for _, name := range p.remove {
		remove(name)
	}
	return all
}

func (c *Conn) createPartition(ctx context.Context, n newConsumer, t Topology) error {
	startAfter := n.beginsAfter
	if n.lost {
		var err error
		if startAfter, err = c.auditedUpTo(ctx, t); err != nil {
			return err
		}
	}
	if _, err := c.js.CreateConsumer(ctx, deliveriesStream, partitionConfig(n.Partition, n.beginsAfter, startAfter)); err != nil {
		return fmt.Errorf("set up the consumer %s: %w", n.Name(), noLeader(err))
	}
	return nil
}

// deleteConsumer deletes a consumer of the stream of deliveries, if it is there.
func (c *Conn) deleteConsumer(ctx context.Context, name string) error {
	err := c.js.DeleteConsumer(ctx, deliveriesStream, name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("delete the consumer %s: %w", name, noLeader(err))
	}
	return nil
}

// DeleteGeneration deletes the consumers of a generation that is finished.
func (c *Conn) DeleteGeneration(ctx context.Context, generation, partitions int) error {
	for index := range partitions {
		p := delivery.Partition{Generation: generation, Index: index, Count: partitions}
		if err := c.deleteConsumer(ctx, p.Name()); err != nil {
			return err
		}
	}
	return nil
}
