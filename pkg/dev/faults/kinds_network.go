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
		{name: "partition: one NATS server from all", inject: cut(2000*ms, 7000*ms, one(servers), everything)},
		{name: "partition: the NATS leader from its followers", short: true, inject: cut(2000*ms, 7000*ms, leader, otherServers)},
		{name: "partition: a NATS server and an ingress from the rest", lone: true, inject: cut(2000*ms, 7000*ms, serverAndIngress, everything)},
		{name: "partition: asymmetric, NATS leader from a follower", inject: cut(2000*ms, 7000*ms, leader, toOne(otherServers))},
		{name: "partition: an applier from NATS", inject: cut(1500*ms, 6000*ms, one(running), to(servers))},
		{name: "partition: an applier from PostgreSQL", inject: cut(1500*ms, 6000*ms, one(running), to(databases))},
		{name: "partition: an ingress from NATS", inject: cut(1000*ms, 6000*ms, one(ingresses), to(servers))},
		{name: "partition: the PostgreSQL standby from the primary", lone: true, inject: cut(1000*ms, 4000*ms, all(primary), to(standby))},
		{name: "one-way: the NATS leader is not heard by its followers", inject: unheard(1500*ms, 6000*ms, leader, otherServers)},
		{name: "one-way: an ingress does not hear NATS", inject: unheard(1000*ms, 5000*ms, all(servers), toOne(to(ingresses)))},
		{name: "one-way: an applier does not hear PostgreSQL", short: true, inject: unheard(1000*ms, 5000*ms, all(databases), toOne(to(running)))},
		{name: "one-way: NATS does not hear an applier (acks are lost)", inject: unheard(1000*ms, 5000*ms, one(running), to(servers))},
	}
}

func serverAndIngress(_ context.Context, r *round) ([]string, error) {
	return []string{r.pick(servers(r)), r.pick(ingresses(r))}, nil
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
	return []kind{
		{name: "disk full: one NATS server", inject: lasting(1500*ms, 4000*ms, (*round).fillNATS, one(servers))},
		{name: "disk full: all NATS servers", lone: true, inject: lasting(1500*ms, 4000*ms, (*round).fillNATS, all(servers))},
		{name: "disk full: the PostgreSQL primary", lone: true, inject: func(ctx context.Context, r *round) error {
			r.markDown(r.Primary()) // PostgreSQL may end for it
			if err := r.fill(r.Primary()); err != nil {
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

// fillNATS has servers restarted in the end: one whose disk was full stays broken until
// then, also with room again.
func (r *round) fillNATS(names ...string) error {
	r.later(&r.restart, names...)
	return r.fill(names...)
}

func (r *round) fill(names ...string) error {
	r.later(&r.free, names...)
	r.did("the disk is full: %s", strings.Join(names, ", "))
	return each(names, r.Fill)
}

// clocks are wall clocks that jump.
func clocks() []kind {
	jump := func(choose func(*round) []string, jumps ...string) injection {
		return lasting(1500*ms, 4000*ms, func(r *round, names ...string) error { return r.jump(names[0], r.pick(jumps)) }, one(choose))
	}
	return []kind{
		// JetStream hands out again by the wall clock: what a server handed out while
		// its clock was ahead waits for as long as it was. More would be no surprise.
		{name: "clock: a NATS server's jumps", inject: jump(servers, "-1h", "-30s", "-3s", "3s", "20s")},
		{name: "clock: an ingress's jumps", inject: jump(ingresses, "-1h", "-30s", "3s", "3m", "1h")},
		{name: "clock: an applier's jumps", inject: jump(running, "-1h", "-30s", "3s", "3m", "1h")},
	}
}

func (r *round) jump(name, by string) error {
	d, err := time.ParseDuration(by)
	if err != nil {
		return err
	}
	r.later(&r.jumped, name)
	r.did("the clock of %s jumps by %s", name, by)
	return r.Jump(name, d)
}
