package faults

import (
	"context"
	"errors"
	"slices"
	"time"
)

// kind is one kind of fault. The round heals it once it has lasted its time.
type kind struct {
	name   string
	inject injection
	// lone kinds are not combined with others.
	lone bool
	// fresh kinds leave a cluster behind that a new one takes the place of: what an
	// audit says for good after them would hide what later faults do.
	fresh bool
	// short kinds are those of the short run.
	short bool
}

const ms = time.Millisecond

// kinds are all there are.
func kinds() []kind {
	return slices.Concat(crashes(), pauses(), partitions(), disks(), clocks(), operations(), restores())
}

// crashes are parts that are killed and started again.
func crashes() []kind {
	return []kind{
		{name: "kill -9 the NATS leader", short: true, inject: killed(500*ms, 4000*ms, leader)},
		{name: "kill -9 a NATS follower", inject: killed(500*ms, 3000*ms, oneOf(followers))},
		{name: "kill -9 all NATS servers", lone: true, inject: killed(200*ms, 2000*ms, all(servers))},
		{name: "kill -9 an ingress", short: true, inject: killed(200*ms, 2000*ms, one(ingresses))},
		{name: "kill -9 an applier", short: true, inject: killed(200*ms, 2500*ms, one(running))},
		{name: "kill -9 all services", lone: true, inject: killed(200*ms, 1500*ms, all(services))},
		{name: "kill -9 the PostgreSQL primary", lone: true, inject: killed(200*ms, 2000*ms, all(primary))},
		{name: "kill -9 the PostgreSQL standby", lone: true, inject: killed(200*ms, 2000*ms, all(standby))},
	}
}

// pauses are parts that stand still and hold their connections.
func pauses() []kind {
	return []kind{
		{name: "SIGSTOP the NATS leader", short: true, inject: paused(1500*ms, 7000*ms, leader)},
		{name: "SIGSTOP both followers (slow quorum)", lone: true, inject: paused(1000*ms, 4500*ms, followers)},
		// Longer than a lease: others settle its partitions when it wakes up.
		{name: "SIGSTOP an applier", inject: paused(2000*ms, 13000*ms, one(running))},
		{name: "SIGSTOP an ingress", inject: paused(1000*ms, 6000*ms, one(ingresses))},
		{name: "SIGSTOP the PostgreSQL primary", lone: true, inject: paused(1000*ms, 5000*ms, all(primary))},
		{name: "flapping: a NATS server stops and goes on", inject: func(ctx context.Context, r *round) error {
			name := r.pick(r.Servers())
			r.later(&r.paused, name)
			r.did("%s stops and goes on", name)
			for range 8 {
				if err := errors.Join(r.Pause(name), r.hold(ctx, 100*ms, 500*ms), r.Resume(name), r.hold(ctx, 50*ms, 200*ms)); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}
