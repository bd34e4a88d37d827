package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// operations are what operators do while deliveries flow.
func operations() []kind {
	roll := func(names func(*round) []string) injection {
		return func(ctx context.Context, r *round) error { return r.roll(ctx, names(r)) }
	}
	return []kind{
		{name: "rolling update of the ingresses", lone: true, inject: roll(ingresses)},
		{name: "rolling update of the appliers", lone: true, inject: roll(running)},
		{name: "rolling update of the NATS servers", lone: true, inject: roll(servers)},
		{name: "coinhook setup again", inject: func(ctx context.Context, r *round) error {
			for _, flags := range [][]string{{}, {"--replicas", fmt.Sprint(len(r.Servers()))}, {"--max-bytes", "150000000"}} {
				r.did("setup %v", flags)
				if _, err := r.Coinhook(ctx, "", append([]string{"setup", "--yes"}, flags...)...); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "another number of partitions, twice", inject: func(ctx context.Context, r *round) error {
			for range 2 {
				n := fmt.Sprint(1 + r.rng.IntN(8))
				r.did("setup --partitions %s", n)
				if _, err := r.Coinhook(ctx, "", "setup", "--yes", "--partitions", n); err != nil {
					return err
				}
				if err := r.hold(ctx, 0, 1500*ms); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "appliers from 3 to 1 to 4 to 3", lone: true, inject: func(ctx context.Context, r *round) error {
			start := r.scaled
			for _, n := range []int{1, len(r.Appliers()), start} {
				if err := errors.Join(r.scale(ctx, n), r.hold(ctx, 300*ms, 1000*ms)); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "failover to the synchronous standby", short: true, lone: true, inject: func(ctx context.Context, r *round) error {
			if err := r.killPrimary(); err != nil {
				return err
			}
			return errors.Join(r.hold(ctx, 300*ms, 1500*ms), r.Promote(ctx), r.hold(ctx, 500*ms, 2000*ms))
		}},
		{name: "failover to an asynchronous standby that is behind", lone: true, inject: func(ctx context.Context, r *round) error {
			if err := errors.Join(r.Synchronous(ctx, false), sleep(ctx, 300*ms), r.cut([]string{r.Primary()}, []string{r.Standby()}), r.hold(ctx, 500*ms, 2000*ms)); err != nil {
				return err
			}
			if err := r.killPrimary(); err != nil {
				return err
			}
			if err := errors.Join(r.Mend(), r.Promote(ctx), r.hold(ctx, 500*ms, 1500*ms)); err != nil {
				return err
			}
			r.repairAfterwards()
			return nil
		}},
	}
}

// killPrimary makes way for the standby.
func (r *round) killPrimary() error {
	r.markDown(r.Primary())
	r.did("kill -9 %s, promote %s", r.Primary(), r.Standby())
	return r.Kill(r.Primary())
}

// roll stops and starts parts, one after the other.
func (r *round) roll(ctx context.Context, names []string) error {
	for _, name := range names {
		r.markDown(name)
		r.did("SIGTERM %s", name)
		if err := r.stop(ctx, name); err != nil {
			r.stuck("%v", err)
		}
		if err := r.StartPart(ctx, name); err != nil {
			return err
		}
		// An operator waits for the copies before the next server goes.
		if err := r.awaitReplicated(ctx, 20*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// scale has n appliers run.
func (r *round) scale(ctx context.Context, n int) error {
	r.did("%d appliers", n)
	all := r.Appliers()
	r.scaled = n
	r.markDown(all[n:]...)
	return errors.Join(r.StartPart(ctx, all[:n]...), r.stop(ctx, all[n:]...))
}

func (r *round) stop(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return r.Stop(ctx, names...)
}

// repairAfterwards has the audit publish again what the database does not know
// of any more.
func (r *round) repairAfterwards() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.after = append(r.after, func(ctx context.Context) error {
		within, cancel := context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
		err := process.Await(within, func(ctx context.Context) error { return r.audit(ctx, "--repair") })
		r.did("coinhook audit --repair: %v", err)
		return err
	})
}

// restores are data that is lost, or older than it was.
func restores() []kind {
	return []kind{
		{name: "a NATS server's store is deleted", lone: true, inject: func(ctx context.Context, r *round) error {
			name := r.pick(r.Servers())
			if err := r.kill(name); err != nil {
				return err
			}
			r.did("%s comes back empty", name)
			return errors.Join(r.Wipe(name), r.hold(ctx, 200*ms, 1500*ms), r.StartPart(ctx, name), r.hold(ctx, 500*ms, 2000*ms))
		}},
		{name: "PostgreSQL comes back from an older backup", lone: true, inject: restorePostgres},
		{name: "NATS comes back from an older backup", lone: true, fresh: true, inject: restoreNATS},
	}
}

// restorePostgres follows the runbook: appliers are stopped, the backup is put in
// place, setup, appliers, repair.
func restorePostgres(ctx context.Context, r *round) error {
	r.did("backup of %s", r.Primary())
	if err := errors.Join(r.BackupPostgres(ctx), r.hold(ctx, 1000*ms, 3000*ms)); err != nil {
		return err
	}
	appliers := r.Appliers()[:r.scaled]
	r.markDown(append(appliers, r.Primary(), r.Standby())...)
	if err := r.stop(ctx, appliers...); err != nil {
		return err
	}
	r.did("PostgreSQL is restored")
	r.restored = true
	if err := errors.Join(r.Kill(r.Standby()), r.Kill(r.Primary()), r.RestorePostgres(ctx)); err != nil {
		return err
	}
	if _, err := r.Coinhook(ctx, "", "setup", "--yes"); err != nil {
		return err
	}
	r.repairAfterwards()
	return nil
}

// restoreNATS has all be settled before the stores go back: what is accepted after
// a backup and not settled is lost with the disks, by definition.
func restoreNATS(ctx context.Context, r *round) error {
	settled := func() error {
		within, cancel := context.WithTimeout(ctx, settleWithin)
		defer cancel()
		return errors.Join(r.traffic.quiet(within), process.Await(within, r.idle))
	}
	servers := r.Servers()
	stores := func(do func(context.Context, string) error) error {
		r.markDown(servers...)
		if err := r.stop(ctx, servers...); err != nil {
			return err
		}
		for _, name := range servers {
			if err := do(ctx, name); err != nil {
				return err
			}
		}
		return r.StartPart(ctx, servers...)
	}
	if err := errors.Join(settled(), stores(r.BackupNATS)); err != nil {
		return err
	}
	r.did("backup of all stores")
	r.traffic.loud()
	if err := errors.Join(r.hold(ctx, 4000*ms, 6000*ms), settled()); err != nil {
		return err
	}
	if err := stores(r.RestoreNATS); err != nil {
		return err
	}
	r.did("all stores are those of the backup")
	r.later(&r.tolerated, "stream_went_back", "stream_superseded", "not_in_stream")
	r.traffic.loud()
	return r.hold(ctx, 1000*ms, 2000*ms)
}
