package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/broker"
)

const (
	// batchDeliveries and batchBytes bound a transaction, and what is planned at once.
	batchDeliveries = 256
	batchBytes      = 8 << 20
	// soleDeliveries bound a transaction of the only partition that has had work lately. A
	// round trip and a commit are paid once for four times as many deliveries, and no
	// other partition waits for it.
	soleDeliveries = 4 * batchDeliveries
	lately         = time.Second
	// batchChanges bound a transaction, too, unless one delivery has more: each change is
	// a row of the log, and a delivery may make 20,000.
	batchChanges = 8 << 10
)

// work is one delivery on its way through a lane.
type work struct {
	applier.Item
	partition *partition
	receipt   *broker.Receipt // nil for one that was parked
	ofUser    bool            // it was parked for its user
	changes   int             // in its plan
}

// lane commits one transaction at a time.
type lane struct {
	engine *Engine

	mu     sync.Mutex
	queues []*queue // one for each partition that has work here; the first is served first
	// shared is when two partitions last had work at the same time.
	shared time.Time
	came   chan struct{}
}

// queue is the work of one partition that waits in a lane, in its order.
type queue struct {
	partition *partition
	work      []work
	// isSpread says that the partition has work in several lanes.
	isSpread bool
}

func newLane(e *Engine) *lane { return &lane{engine: e, came: make(chan struct{}, 1)} }

// put appends work of a partition, which may have more in other lanes.
func (l *lane) put(p *partition, all []work, isSpread bool) {
	l.mu.Lock()
	i := slices.IndexFunc(l.queues, func(q *queue) bool { return q.partition == p })
	if i < 0 {
		i = len(l.queues)
		l.queues = append(l.queues, &queue{partition: p})
	}
	l.queues[i].work = append(l.queues[i].work, all...)
	l.queues[i].isSpread = isSpread
	l.mu.Unlock()
	select {
	case l.came <- struct{}{}:
	default:
	}
}

// forget removes what waits of a partition.
func (l *lane) forget(p *partition) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues = slices.DeleteFunc(l.queues, func(q *queue) bool { return q.partition == p })
}

// take returns the work of the next transaction, nil when there is none. Partitions
// that have work share it evenly, and one that has little leaves its rest to the
// others. So a long queue of one community delays nobody else by more than a batch.
//
// Nothing of a partition that was dropped is taken. After forget, its feeder may still add
// later work while earlier work was given up: to settle that would break the order.
func (l *lane) take() (batch []work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues = slices.DeleteFunc(l.queues, func(q *queue) bool { return q.partition.ctx.Err() != nil })
	bytes, changes, room := 0, 0, l.room(time.Now())
	isFull := func() bool { return bytes >= batchBytes || changes >= batchChanges }
	for room > 0 && len(l.queues) > 0 && !isFull() {
		share := max(room/len(l.queues), 1)
		for _, q := range l.queues {
			n := 0
			for n < min(share, len(q.work), room) && !isFull() {
				bytes += len(q.work[n].Delivery.Body)
				changes += q.work[n].changes
				n++
			}
			batch = append(batch, q.work[:n]...)
			clear(q.work[:n])
			q.work = q.work[n:]
			room -= n
			q.partition.begin(n)
		}
		l.queues = slices.DeleteFunc(l.queues, func(q *queue) bool { return len(q.work) == 0 })
	}
	if len(l.queues) > 1 { // another one is first next time
		l.queues = append(l.queues[1:], l.queues[0])
	}
	return batch
}

// room is how many deliveries a transaction may have; mu is held.
func (l *lane) room(now time.Time) int {
	if len(l.queues) > 1 {
		l.shared = now
	}
	if now.Sub(l.shared) < lately {
		return batchDeliveries
	}
	return soleDeliveries
}

func (l *lane) run(ctx context.Context) error {
	for {
		settled, err := l.turn(ctx)
		if err != nil {
			return nil // ctx is done
		}
		if settled {
			continue
		}
		select {
		case <-l.came:
		case <-ctx.Done():
			return nil
		}
	}
}

// turn settles one batch, if work waits.
func (l *lane) turn(ctx context.Context) (settled bool, err error) {
	if l.hasSpread() {
		n := l.engine.slotsOfOne(time.Now())
		if err := l.engine.slots.Acquire(ctx, n); err != nil {
			return false, err
		}
		defer l.engine.slots.Release(n)
	}
	batch := l.take()
	if len(batch) > 0 {
		l.settle(ctx, batch)
	}
	return len(batch) > 0, nil
}

// hasSpread reports whether work of a partition waits here that has more in other lanes.
func (l *lane) hasSpread() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.queues, func(q *queue) bool { return q.isSpread })
}

// settle has a batch settled, however long that takes. Deliveries of a partition that
// was dropped are left to its next owner.
func (l *lane) settle(ctx context.Context, batch []work) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 2*time.Second
	for {
		l.engine.metrics.batch.Observe(float64(len(batch)))
		items := make([]applier.Item, len(batch))
		for i, w := range batch {
			items[i] = w.Item
		}
		// A transaction that was begun is finished: stopping half-way would only cost
		// another one.
		verdicts := l.engine.Applier.Settle(context.WithoutCancel(ctx), items)
		var rest []work
		var cause error
		for i, v := range verdicts {
			if v.IsSettled() || v.Parked {
				batch[i].partition.settled(batch[i], v.Parked)
				continue
			}
			rest, cause = append(rest, batch[i]), v.Err
		}
		tellFloors(batch)
		l.loseFenced(cause)
		if batch = l.keep(rest); len(batch) == 0 {
			return
		}
		l.engine.metrics.retried.Inc()
		for _, w := range batch {
			w.Delivery.Attempt++
		}
		if errors.Is(cause, applier.ErrChanged) {
			l.replan(ctx, batch)
			continue
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case <-ctx.Done():
		}
		batch = l.keep(batch)
		if len(batch) == 0 {
			return
		}
	}
}

// tellFloors has each partition of a batch tell its floor if it has no room.
func tellFloors(batch []work) {
	var last *partition
	for _, w := range batch {
		if w.partition != last {
			last = w.partition
			last.tellFloor(time.Now())
		}
	}
}

// loseFenced stops the partitions that other appliers own now.
func (l *lane) loseFenced(cause error) {
	var fenced *applier.FencedError
	if !errors.As(cause, &fenced) {
		return
	}
	for _, lost := range fenced.Lost {
		l.engine.lose(*lost)
	}
}

// keep gives up the work of partitions that were dropped.
func (l *lane) keep(all []work) []work {
	return slices.DeleteFunc(all, func(w work) bool {
		if w.partition.ctx.Err() == nil {
			return false
		}
		w.partition.leave(w, false)
		return true
	})
}

func (l *lane) replan(ctx context.Context, batch []work) {
	items := make([]applier.Item, len(batch))
	for i, w := range batch {
		items[i] = w.Item
	}
	l.engine.Applier.Replan(ctx, items)
	for i := range batch {
		batch[i].Item = items[i]
	}
}
