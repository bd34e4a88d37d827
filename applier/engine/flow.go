package engine

import (
	"context"
	"sync"
	"time"
)

const (
	// A partition keeps at least two batches on their way through the lanes: one commits,
	// one is ready.
	flowDeliveries = 2 * soleDeliveries
	flowBytes      = 16 << 20
	flowChanges    = 2 * batchChanges
	// A partition with so many in its home lane has work for others: the lane commits a
	// batch, and another is ready. With fewer, a moment in which PostgreSQL is slow would
	// spread it, and more transactions would make that moment longer.
	spreadDeliveries = soleDeliveries + batchDeliveries
	// A partition that is alone has room for a batch in each lane, but in no more lanes than
	// these: more would take more memory.
	soleLanes = 4
	// tellFloorEvery is how often a partition without room tells the ingresses its floor.
	tellFloorEvery = 50 * time.Millisecond
)

// flow counts the deliveries of a partition that are in lanes.
type flow struct {
	mu         sync.Mutex
	deliveries int // waiting or in a transaction
	bytes      int // of their bodies
	changes    int // that they were planned with
	inFlight   int // in a transaction
	parked     int // that come from parked rows
	ofUsers    int // those of them that waited for their users
	// newlyParked counts deliveries that a transaction has parked for their users.
	newlyParked int
	// freed counts deliveries that had waited for their users and are decided.
	freed int
	// wasFull says that there was no room since the floor was last told, at told.
	wasFull bool
	told    time.Time
}

// count counts the deliveries that are put into lanes.
func (p *partition) count(all []work) {
	f := &p.flow
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range all {
		f.add(w, 1)
	}
}

// add counts a delivery in, or out with n -1.
func (f *flow) add(w work, n int) {
	f.deliveries += n
	f.bytes += n * len(w.Delivery.Body)
	f.changes += n * w.changes
	if w.WasParked {
		f.parked += n
	}
	if w.ofUser {
		f.ofUsers += n
	}
}

// begin counts the deliveries that a transaction takes.
func (p *partition) begin(n int) {
	p.flow.mu.Lock()
	defer p.flow.mu.Unlock()
	p.flow.inFlight += n
}

// settled counts a delivery that has a row now.
func (p *partition) settled(w work, parked bool) {
	if w.receipt != nil {
		p.feed.Settled(w.receipt, 1)
	}
	p.leave(w, parked)
}

// leave counts a delivery that has left its transaction.
func (p *partition) leave(w work, parked bool) {
	f := &p.flow
	f.mu.Lock()
	f.add(w, -1)
	f.inFlight--
	switch {
	case parked:
		f.newlyParked++
	case w.ofUser:
		f.freed++
	}
	f.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// isCrowd reports whether the deliveries of a partition leave no room for another batch:
// there is work for all lanes then. With less, more lanes would only have smaller
// transactions, which cost more. mu is held.
func (e *Engine) isCrowd(f *flow) bool {
	return f.deliveries >= min(len(e.lanes), soleLanes)*soleDeliveries-batchDeliveries ||
		f.bytes >= flowBytes-batchBytes || f.changes >= flowChanges-batchChanges
}

// room is how many deliveries a partition may have in lanes: a batch for each lane, up to
// soleLanes, as far as the other partitions leave that, so that they need no more memory
// together. Next to neighbours of its community it is two batches.
func (e *Engine) room(p *partition) int {
	if e.neighbours.areThere(time.Now()) {
		return flowDeliveries
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	most := min(len(e.lanes), soleLanes) * soleDeliveries
	for _, other := range e.partitions {
		if other != p {
			other.flow.mu.Lock()
			most -= other.flow.deliveries
			other.flow.mu.Unlock()
		}
	}
	return max(most, flowDeliveries)
}

// awaitRoom returns once there is room for more, and false when the partition was
// dropped.
func (p *partition) awaitRoom() bool {
	room := p.engine.room(p)
	return p.await(p.ctx, func(f *flow) bool {
		isFull := f.deliveries >= room || f.bytes >= flowBytes || f.changes >= flowChanges
		f.wasFull = f.wasFull || isFull
		return !isFull
	}) && p.ctx.Err() == nil
}

// tellFloor tells the ingresses the floor if there was no room since it last did.
func (p *partition) tellFloor(now time.Time) {
	if p.flow.isToTell(now) {
		p.feed.HasNoRoom()
	}
}

func (f *flow) isToTell(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.wasFull || now.Sub(f.told) < tellFloorEvery {
		return false
	}
	f.wasFull, f.told = false, now
	return true
}

// awaitEmpty returns once nothing of the partition is in a lane, and false when the
// partition was dropped.
func (p *partition) awaitEmpty() bool {
	return p.await(p.ctx, func(f *flow) bool { return f.deliveries == 0 }) && p.ctx.Err() == nil
}

// awaitIdle returns once no transaction has deliveries of the partition, and false when
// ctx is done before.
func (p *partition) awaitIdle(ctx context.Context) bool {
	return p.await(ctx, func(f *flow) bool { return f.inFlight == 0 })
}

func (p *partition) await(ctx context.Context, holds func(*flow) bool) bool {
	for {
		p.flow.mu.Lock()
		ok := holds(&p.flow)
		p.flow.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-p.changed:
		case <-ctx.Done():
			return false
		}
	}
}
