// Package owner divides the partitions among the appliers. Each has leases in
// PostgreSQL for the partitions that it settles, and renews them once a second.
package owner

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Store has the leases.
type Store interface {
	Leases(ctx context.Context, r postgres.LeaseRound) (postgres.LeaseView, error)
}

// Engine settles the partitions.
type Engine interface {
	// Take begins to settle a partition. Its generation ends at a message, 0 for no end.
	Take(l applier.Lease, endsAt uint64)
	// EndAt says that the generation of a partition ends at a message.
	EndAt(p delivery.Partition, sequence uint64)
	// Drop stops a partition. It returns once nothing of it is in flight, or ctx is done,
	// and reports which.
	Drop(ctx context.Context, p delivery.Partition) (idle bool)
	// Finished returns the partitions whose deliveries up to the end all have rows.
	Finished() []delivery.Partition
}

// Broker tells the appliers of each other at once.
type Broker interface {
	HintPartitions() error
	OnPartitionsHint(f func()) (stop func(), err error)
	// Connected reports whether this applier could settle.
	Connected() bool
	DeleteGeneration(ctx context.Context, generation, partitions int) error
}

const (
	// leaseFor is how long the others wait for an applier that was killed.
	leaseFor   = 3 * time.Second
	roundEvery = time.Second
	// roundWithin bounds a round. It is less than a lease lasts, so that one that hangs
	// can be followed by another.
	roundWithin = 2 * time.Second
	// finishedEvery is how often the engine is asked for partitions that are finished,
	// while one has an end. The next generation waits for it.
	finishedEvery = 100 * time.Millisecond
	// retryTake is how soon a partition that could not be taken is tried again.
	retryTake = 200 * time.Millisecond
	// dropWithin bounds how long a partition that is given back finishes transactions in
	// flight. The next owner waits for the rest.
	dropWithin = 5 * time.Second
	// awayFor is how long an applier without NATS keeps its partitions.
	awayFor = 5 * time.Second
	// leaveWithin bounds the last round.
	leaveWithin = 2 * time.Second
)

// Reporter reports why partitions cannot be owned now.
type Reporter interface {
	Postponed(deliveries []*delivery.Delivery, err error)
}

// Options say who owns, and what. All but Metrics are needed.
type Options struct {
	Store  Store
	Engine Engine
	Broker Broker
	Report Reporter
	// Name is unique to this process.
	Name    string
	Log     zerolog.Logger
	Metrics prometheus.Registerer
}

// Owner keeps this applier's share of the partitions.
type Owner struct {
	Options
	owned     prometheus.Gauge
	takeovers prometheus.Counter

	// The fields below are used by the goroutine of Run only.
	tenures map[delivery.Partition]*tenure
	// finished are generations of which this applier has finished a partition, with their
	// numbers of partitions, until their consumers are deleted.
	finished map[int]int
	// until is when the leases run out by this process's clock, counted from before the
	// last round that succeeded was sent.
	until      time.Time
	round      *round // in flight, or nil
	nextRound  time.Time
	complained bool
	isMember   bool      // by the last round
	awaySince  time.Time // when NATS was first seen to be away, zero while it is there
	dropped    chan *tenure
	rounds     chan *round
}

// round is one round of leasing.
type round struct {
	request postgres.LeaseRound
	sentAt  time.Time
	chosen  int // partitions that it was to take
	view    postgres.LeaseView
	err     error
}

// New returns an owner that owns nothing until Run.
func New(opts Options) *Owner {
	metrics := promauto.With(opts.Metrics)
	return &Owner{
		Options: opts,
		tenures: map[delivery.Partition]*tenure{}, finished: map[int]int{},
		// Senders never block: Run may have ended, and reads no late results.
		dropped: make(chan *tenure, 1000), rounds: make(chan *round, 1000),
		owned: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "coinhook_partitions_owned",
			Help: "Partitions that this applier settles.",
		}),
		takeovers: metrics.NewCounter(prometheus.CounterOpts{
			Name: "coinhook_partition_takeovers_total",
			Help: "Partitions taken over from appliers whose leases had run out.",
		}),
	}
}

// Run keeps this applier's share until ctx is done. Then it hands everything over.
func (o *Owner) Run(ctx context.Context) error {
	hinted := make(chan struct{}, 1)
	stop, err := o.Broker.OnPartitionsHint(func() {
		select {
		case hinted <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	for ctx.Err() == nil {
		o.act(ctx, time.Now())
		wake := time.NewTimer(time.Until(o.wakeAt()))
		select {
		case <-wake.C:
		case <-hinted:
			o.nextRound = time.Now()
		case r := <-o.rounds:
			if r == o.round {
				o.round = nil
				o.finishRound(ctx, r)
			}
		case t := <-o.dropped:
			o.stopped(t)
		case <-ctx.Done():
		}
		wake.Stop()
	}
	o.leave(context.WithoutCancel(ctx))
	return nil
}

// act does what is due.
func (o *Owner) act(ctx context.Context, now time.Time) {
	if !now.Before(o.until) {
		for _, t := range o.tenures {
			o.lose(t, "the lease has run out")
		}
	}
	o.watchBroker(now)
	o.watchFinished()
	if o.round != nil && now.Sub(o.round.sentAt) > roundWithin+retryTake {
		o.round = nil // PostgreSQL has not even answered the cancellation
	}
	if o.round == nil && !now.Before(o.nextRound) {
		o.begin(ctx, now)
	}
}

// wakeAt is when something is due, if nothing happens before.
func (o *Owner) wakeAt() time.Time {
	at := o.nextRound
	if o.round != nil {
		at = o.round.sentAt.Add(roundWithin + 2*retryTake)
	}
	now := time.Now()
	for _, t := range o.tenures {
		if !t.isLost() && o.until.Before(at) {
			at = o.until
		}
		if t.ends && t.state == settling && now.Add(finishedEvery).Before(at) {
			at = now.Add(finishedEvery)
		}
	}
	return at
}

// watchBroker gives everything back while this applier is without NATS: another may
// have what it lacks.
func (o *Owner) watchBroker(now time.Time) {
	if o.Broker.Connected() {
		o.awaySince = time.Time{}
		return
	}
	if o.awaySince.IsZero() {
		o.awaySince = now
	}
	if o.isAway(now) {
		for _, t := range o.tenures {
			if t.state == settling {
				o.drop(t, releasing)
			}
		}
	}
}

func (o *Owner) isAway(now time.Time) bool {
	return !o.awaySince.IsZero() && now.Sub(o.awaySince) >= awayFor
}

// watchFinished stops the partitions that have come to the end of their generation.
func (o *Owner) watchFinished() {
	ending := false
	for _, t := range o.tenures {
		ending = ending || t.ends && t.state == settling
	}
	if !ending {
		return
	}
	for _, p := range o.Engine.Finished() {
		if t := o.tenures[p]; t != nil && t.state == settling && t.ends {
			o.drop(t, finishing)
		}
	}
}
