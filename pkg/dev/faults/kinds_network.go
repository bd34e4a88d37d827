package faults

import (
	"context"
	"errors"
	"strings"
	"time"
)

// partitions are parts that do not reach each other.
func partitions() []kind {
	return []kind{
		{name: "partition: one NATS server from all", inject: func(ctx context.Context, r *round) error {
			name := r.pick(r.Servers())
			return errors.Join(r.isolate([]string{name}), r.hold(ctx, 2000*ms, 7000*ms))
		}},
		{name: "partition: the NATS leader from its followers", short: true, inject: func(ctx context.Context, r *round) error {
			leader, followers, err := r.leader(ctx)
			if err != nil {
				return err
			}
			return errors.Join(r.cut([]string{leader}, followers), r.hold(ctx, 2000*ms, 7000*ms))
		}},
		{name: "partition: a NATS server and an ingress from the rest", lone: true, inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.isolate([]string{r.pick(r.Servers()), r.pick(r.Ingresses())}), r.hold(ctx, 2000*ms, 7000*ms))
		}},
		{name: "partition: asymmetric, NATS leader from a follower", inject: func(ctx context.Context, r *round) error {
			leader, followers, err := r.leader(ctx)
			if err != nil {
				return err
			}
			return errors.Join(r.cut([]string{leader}, []string{r.pick(followers)}), r.hold(ctx, 2000*ms, 7000*ms))
		}},
		{name: "partition: an applier from NATS", inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.cut([]string{r.pick(r.Appliers()[:r.scaled])}, r.Servers()), r.hold(ctx, 1500*ms, 6000*ms))
		}},
		{name: "partition: an applier from PostgreSQL", inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.cut([]string{r.pick(r.Appliers()[:r.scaled])}, r.databases()), r.hold(ctx, 1500*ms, 6000*ms))
		}},
		{name: "partition: an ingress from NATS", inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.cut([]string{r.pick(r.Ingresses())}, r.Servers()), r.hold(ctx, 1000*ms, 6000*ms))
		}},
		{name: "partition: the PostgreSQL standby from the primary", lone: true, inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.cut([]string{r.Primary()}, []string{r.Standby()}), r.hold(ctx, 1000*ms, 4000*ms))
		}},
		{name: "one-way: the NATS leader is not heard by its followers", inject: func(ctx context.Context, r *round) error {
			leader, followers, err := r.leader(ctx)
			if err != nil {
				return err
			}
			return errors.Join(r.cutOneWay([]string{leader}, followers), r.hold(ctx, 1500*ms, 6000*ms))
		}},
		{name: "one-way: an ingress does not hear NATS", inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.cutOneWay(r.Servers(), []string{r.pick(r.Ingresses())}), r.hold(ctx, 1000*ms, 5000*ms))
		}},
		{name: "one-way: an applier does not hear PostgreSQL", short: true, inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.cutOneWay(r.databases(), []string{r.pick(r.Appliers()[:r.scaled])}), r.hold(ctx, 1000*ms, 5000*ms))
		}},
		{name: "one-way: NATS does not hear an applier (acks are lost)", inject: func(ctx context.Context, r *round) error {
			return errors.Join(r.cutOneWay([]string{r.pick(r.Appliers()[:r.scaled])}, r.Servers()), r.hold(ctx, 1000*ms, 5000*ms))
		}},
	}
}

func (r *round) databases() []string {
	if standby := r.Standby(); standby != "" {
		return []string{r.Primary(), standby}
	}
	return []string{r.Primary()}
}

// isolate cuts some parts from all others.
func (r *round) isolate(names []string) error {
	var rest []string
	for _, other := range r.Names() {
		inside := false
		for _, name := range names {
			inside = inside || name == other
		}
		if !inside {
			rest = append(rest, other)
		}
	}
	return r.cut(names, rest)
}

func (r *round) cut(these, those []string) error {
	return errors.Join(r.cutOneWay(these, those), r.cutOneWay(those, these))
}

func (r *round) cutOneWay(from, to []string) error {
	r.did("%s cannot reach %s", strings.Join(from, ", "), strings.Join(to, ", "))
	var errs []error
	for _, a := range from {
		for _, b := range to {
			errs = append(errs, r.CutOneWay(a, b))
		}
	}
	return errors.Join(errs...)
}

// disks are file systems without room for one byte more.
func disks() []kind {
	fillNATS := func(ctx context.Context, r *round, names []string) error {
		r.later(&r.free, names...)
		// A server whose disk was full stays broken until it is restarted, also with
		// room again.
		r.later(&r.restart, names...)
		r.did("the disk is full: %s", strings.Join(names, ", "))
		var errs []error
		for _, name := range names {
			errs = append(errs, r.Fill(name))
		}
		return errors.Join(append(errs, r.hold(ctx, 1500*ms, 4000*ms))...)
	}
	return []kind{
		{name: "disk full: one NATS server", inject: func(ctx context.Context, r *round) error {
			return fillNATS(ctx, r, []string{r.pick(r.Servers())})
		}},
		{name: "disk full: all NATS servers", lone: true, inject: func(ctx context.Context, r *round) error {
			return fillNATS(ctx, r, r.Servers())
		}},
		{name: "disk full: the PostgreSQL primary", lone: true, inject: func(ctx context.Context, r *round) error {
			primary := r.Primary()
			r.later(&r.free, primary)
			r.markDown(primary) // PostgreSQL may end for it
			r.did("the disk is full: %s", primary)
			if err := r.Fill(primary); err != nil {
				return err
			}
			// The write-ahead log goes to files that are there, until those are full.
			for range 4 {
				if err := r.SwitchWAL(ctx); err != nil {
					break
				}
			}
			return r.hold(ctx, 1500*ms, 4000*ms)
		}},
	}
}

// clocks are wall clocks that jump.
func clocks() []kind {
	jump := func(choose func(*round) []string, jumps ...string) func(context.Context, *round) error {
		return func(ctx context.Context, r *round) error {
			name := r.pick(choose(r))
			by := r.pick(jumps)
			d, err := time.ParseDuration(by)
			if err != nil {
				return err
			}
			r.later(&r.jumped, name)
			r.did("the clock of %s jumps by %s", name, by)
			return errors.Join(r.Jump(name, d), r.hold(ctx, 1500*ms, 4000*ms))
		}
	}
	return []kind{
		// JetStream hands out again by the wall clock: what a server handed out while
		// its clock was ahead waits for as long as it was. More would be no surprise.
		{name: "clock: a NATS server's jumps", inject: jump(func(r *round) []string { return r.Servers() }, "-1h", "-30s", "-3s", "3s", "20s")},
		{name: "clock: an ingress's jumps", inject: jump(func(r *round) []string { return r.Ingresses() }, "-1h", "-30s", "3s", "3m", "1h")},
		{name: "clock: an applier's jumps", inject: jump(func(r *round) []string { return r.Appliers()[:r.scaled] }, "-1h", "-30s", "3s", "3m", "1h")},
	}
}
