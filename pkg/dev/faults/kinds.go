package faults

import (
	"context"
	"errors"
	"slices"
	"time"
)

// kind is one kind of fault. inject causes it and returns when it has lasted its
// time; the round heals it then.
type kind struct {
	name   string
	inject func(ctx context.Context, r *round) error
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
	killed := func(low, high time.Duration, choose func(context.Context, *round) ([]string, error)) func(context.Context, *round) error {
		return func(ctx context.Context, r *round) error {
			names, err := choose(ctx, r)
			if err != nil {
				return err
			}
			return errors.Join(r.kill(names...), r.hold(ctx, low, high))
		}
	}
	return []kind{
		{name: "kill -9 the NATS leader", short: true, inject: killed(500*ms, 4000*ms, oneLeader)},
		{name: "kill -9 a NATS follower", inject: killed(500*ms, 3000*ms, oneFollower)},
		{name: "kill -9 all NATS servers", lone: true, inject: killed(200*ms, 2000*ms, func(_ context.Context, r *round) ([]string, error) {
			return r.Servers(), nil
		})},
		{name: "kill -9 an ingress", short: true, inject: killed(200*ms, 2000*ms, func(_ context.Context, r *round) ([]string, error) {
			return []string{r.pick(r.Ingresses())}, nil
		})},
		{name: "kill -9 an applier", short: true, inject: killed(200*ms, 2500*ms, func(_ context.Context, r *round) ([]string, error) {
			return []string{r.pick(r.Appliers()[:r.scaled])}, nil
		})},
		{name: "kill -9 all services", lone: true, inject: killed(200*ms, 1500*ms, func(_ context.Context, r *round) ([]string, error) {
			return append(r.Ingresses(), r.Appliers()[:r.scaled]...), nil
		})},
		{name: "kill -9 the PostgreSQL primary", lone: true, inject: killed(200*ms, 2000*ms, func(_ context.Context, r *round) ([]string, error) {
			return []string{r.Primary()}, nil
		})},
		{name: "kill -9 the PostgreSQL standby", lone: true, inject: killed(200*ms, 2000*ms, func(_ context.Context, r *round) ([]string, error) {
			return []string{r.Standby()}, nil
		})},
	}
}

func oneLeader(ctx context.Context, r *round) ([]string, error) {
	leader, _, err := r.leader(ctx)
	return []string{leader}, err
}

func oneFollower(ctx context.Context, r *round) ([]string, error) {
	_, followers, err := r.leader(ctx)
	if err != nil {
		return nil, err
	}
	return []string{r.pick(followers)}, nil
}

// pauses are parts that stand still and hold their connections.
func pauses() []kind {
	return []kind{
		{name: "SIGSTOP the NATS leader", short: true, inject: func(ctx context.Context, r *round) error {
			names, err := oneLeader(ctx, r)
			if err != nil {
				return err
			}
			return errors.Join(r.pause(names...), r.hold(ctx, 1500*ms, 7000*ms))
		}},
		{name: "SIGSTOP both followers (slow quorum)", lone: true, inject: func(ctx context.Context, r *round) error {
			_, followers, err := r.leader(ctx)
			if err != nil {
				return err
			}
			return errors.Join(r.pause(followers...), r.hold(ctx, 1000*ms, 4500*ms))
		}},
		{name: "SIGSTOP an applier", inject: func(ctx context.Context, r *round) error {
			// Longer than a lease: others settle its partitions when it wakes up.
			return errors.Join(r.pause(r.pick(r.Appliers()[:r.scaled])), r.hold(ctx, 2000*ms, 13000*ms))
		}},
		{name: "SIGSTOP an ingress", inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.pause(r.pick(r.Ingresses())), r.hold(ctx, 1000*ms, 6000*ms))
		}},
		{name: "SIGSTOP the PostgreSQL primary", lone: true, inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.pause(r.Primary()), r.hold(ctx, 1000*ms, 5000*ms))
		}},
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
