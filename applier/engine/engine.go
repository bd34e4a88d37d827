// Package engine settles the partitions that this applier owns.
//
// A feeder for each partition reads its deliveries, plans them, parks those that have
// to wait, and puts the others into lanes. A lane commits the deliveries that wait in
// it, from all partitions, in one transaction. A user's deliveries in flight are
// always in the same lane, so that they are decided in the order in which they were
// accepted.
package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Definitions are those in memory.
type Definitions interface {
	Lookup(id string) (w *webhook.Webhook, known bool)
}

// Options say what an Engine works with.
type Options struct {
	Conn        *broker.Conn
	Applier     *applier.Applier
	Definitions Definitions
	Store       applier.ParkingStore
	Report      applier.Reporter
	// Lanes is how many transactions run at a time, 1 if zero.
	Lanes   int
	Log     zerolog.Logger
	Metrics prometheus.Registerer // nil for none
}

// Engine settles partitions.
type Engine struct {
	Options
	metrics metrics
	lanes   []*lane
	// slots bound the transactions of spread partitions: see slotsOfOne.
	slots      *semaphore.Weighted
	neighbours neighbours

	mu         sync.Mutex
	running    context.Context // nil until Run
	partitions map[delivery.Partition]*partition
	group      sync.WaitGroup
}

// New returns an engine that owns nothing.
func New(opts Options) *Engine {
	e := &Engine{Options: opts, metrics: newMetrics(opts.Metrics), partitions: map[delivery.Partition]*partition{}}
	for range max(opts.Lanes, 1) {
		e.lanes = append(e.lanes, newLane(e))
	}
	e.slots = semaphore.NewWeighted(e.allSlots())
	e.neighbours.say = func(community string) { _ = e.Conn.HintBusy(community) } // the next one follows soon
	return e
}

// Run settles until ctx is done. Transactions in flight are finished then.
func (e *Engine) Run(ctx context.Context) error {
	stop, err := e.Conn.OnBusyHint(func(community string) { e.neighbours.saw(community, false, time.Now()) })
	if err != nil {
		return err
	}
	defer stop()
	g, running := errgroup.WithContext(ctx)
	e.mu.Lock()
	e.running = running
	for _, p := range e.partitions {
		e.start(p)
	}
	e.mu.Unlock()
	for _, l := range e.lanes {
		g.Go(func() error { return l.run(running) })
	}
	err = g.Wait()
	e.group.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Take begins to settle a partition under a lease. Its generation ends at the message
// with that sequence, 0 for no end.
func (e *Engine) Take(l applier.Lease, endsAt uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.partitions[l.Partition] != nil {
		return
	}
	p := newPartition(e, l)
	p.feed.EndAt(endsAt)
	p.home = e.quietestLane()
	e.partitions[l.Partition] = p
	if e.running != nil {
		e.start(p)
	}
}

// quietestLane returns the lane that is home to the fewest partitions; mu is held.
func (e *Engine) quietestLane() int {
	homes := make([]int, len(e.lanes))
	for _, p := range e.partitions {
		homes[p.home]++
	}
	return slices.Index(homes, slices.Min(homes))
}

// start runs a partition; mu is held.
func (e *Engine) start(p *partition) {
	p.ctx, p.cancel = context.WithCancel(e.running)
	e.group.Go(func() { p.run() })
}

// EndAt says where the generation of a partition ends.
func (e *Engine) EndAt(p delivery.Partition, sequence uint64) {
	if own := e.partition(p); own != nil {
		own.feed.EndAt(sequence)
	}
}

// Finished returns the partitions whose deliveries all have rows, up to the end of
// their generation.
func (e *Engine) Finished() (all []delivery.Partition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, p := range e.partitions {
		if p.feed.IsFinished() {
			all = append(all, name)
		}
	}
	return all
}

func (e *Engine) partition(p delivery.Partition) *partition {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.partitions[p]
}

// lose gives up a partition that another applier owns now.
func (e *Engine) lose(l applier.Lease) {
	e.mu.Lock()
	p := e.partitions[l.Partition]
	if p == nil || p.lease.Token != l.Token {
		e.mu.Unlock()
		return
	}
	delete(e.partitions, l.Partition)
	e.mu.Unlock()
	e.Log.Warn().Int("generation", l.Generation).Int("partition", l.Index).Msg("another applier owns this partition now")
	p.cancel()
	for _, lane := range e.lanes {
		lane.forget(p)
	}
}

// Drop stops settling a partition. It returns once nothing of it is in flight and the
// broker has counted the acks, or ctx is done, and reports which.
func (e *Engine) Drop(ctx context.Context, name delivery.Partition) (idle bool) {
	e.mu.Lock()
	p := e.partitions[name]
	delete(e.partitions, name)
	e.mu.Unlock()
	if p == nil || p.cancel == nil {
		return true
	}
	p.cancel()
	for _, l := range e.lanes {
		l.forget(p)
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		return false
	}
	if !p.awaitIdle(ctx) {
		return false
	}
	if err := p.feed.Flush(ctx); err != nil {
		e.Log.Debug().Err(err).Msg("some deliveries may be redelivered to the next owner")
	}
	return ctx.Err() == nil
}
