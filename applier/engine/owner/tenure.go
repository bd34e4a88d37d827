package owner

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
)

// tenure is the time of one lease with this applier.
type tenure struct {
	applier.Lease
	beginsAfter uint64
	ends        bool
	endsAt      uint64
	state       state
	// next is what follows dropping, and stop ends it at once.
	next state
	stop context.CancelFunc
}

type state int

const (
	settling  state = iota
	dropping        // the engine finishes what is in flight
	releasing       // nothing is in flight: the next round gives it back
	finishing       // nothing is in flight: the next round says that it is finished
	lost            // nothing is in flight, and another may have it
)

func (t *tenure) isLost() bool { return t.state == dropping && t.next == lost }

// isEmpty reports whether its generation has no messages.
func (t *tenure) isEmpty() bool { return t.ends && t.endsAt <= t.beginsAfter }

// drop has the engine stop a partition; next is what follows.
func (o *Owner) drop(t *tenure, next state) {
	ctx, cancel := context.WithTimeout(context.Background(), dropWithin)
	t.state, t.next, t.stop = dropping, next, cancel
	if next == lost {
		cancel()
	}
	go func() {
		defer cancel()
		o.Engine.Drop(ctx, t.Partition)
		o.dropped <- t
	}()
}

// stopped is told that the engine has stopped a partition. Something may be in flight
// all the same: the next owner waits for it, and the store refuses more.
func (o *Owner) stopped(t *tenure) {
	if t.next == lost {
		delete(o.tenures, t.Partition)
		return
	}
	t.state = t.next
	o.nextRound = time.Now()
}

// lose stops a partition at once.
func (o *Owner) lose(t *tenure, why string) {
	switch {
	case t.state == dropping && t.next == lost:
		return
	case t.state == dropping:
		t.next = lost
		t.stop()
	case t.state == settling:
		o.drop(t, lost)
	default: // nothing is in flight
		delete(o.tenures, t.Partition)
	}
	o.count()
	o.say(o.Log.Warn(), t).Str("why", why).Msg("lost a partition")
}

func (o *Owner) say(e *zerolog.Event, t *tenure) *zerolog.Event {
	return e.Int("generation", t.Generation).Int("partition", t.Index).Int("partitions", t.Count)
}

func (o *Owner) count() {
	n := 0
	for _, t := range o.tenures {
		if t.state == settling {
			n++
		}
	}
	o.owned.Set(float64(n))
}

// leave hands everything over: it finishes the batches in flight, and then releases all
// leases in one transaction.
func (o *Owner) leave(ctx context.Context) {
	// When the leases run out the others take over without being told.
	draining, cancel := context.WithDeadline(ctx, o.until)
	defer cancel()
	waiting := 0
	for _, t := range o.tenures {
		if t.state == settling {
			o.drop(t, releasing)
		}
		if t.state == dropping {
			waiting++
		}
	}
	for waiting > 0 && draining.Err() == nil {
		select {
		case t := <-o.dropped:
			o.stopped(t)
			waiting--
		case <-draining.Done():
		}
	}
	last := postgres.LeaseRound{Applier: o.Name, For: leaseFor, Leave: true}
	for _, t := range o.tenures {
		if t.state == finishing {
			last.Finish = append(last.Finish, t.Lease)
		}
	}
	if o.round != nil { // it may still take something
		select {
		case <-o.rounds:
		case <-time.After(retryTake):
		}
	}
	ctx, stop := context.WithTimeout(ctx, leaveWithin)
	defer stop()
	if _, err := o.Store.Leases(ctx, last); err != nil {
		o.Log.Warn().Err(err).Msg("cannot release the leases of partitions, which run out by themselves")
		return
	}
	for _, t := range o.tenures {
		o.say(o.Log.Info(), t).Msg("handed a partition over")
	}
	clear(o.tenures)
	o.count()
	_ = o.Broker.HintPartitions() // losing it costs a second
}
