package owner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// begin sends a round of leasing.
func (o *Owner) begin(ctx context.Context, now time.Time) {
	r := &round{sentAt: now, request: postgres.LeaseRound{Applier: o.Name, For: leaseFor}}
	mine := map[delivery.Partition]bool{}
	for p, t := range o.tenures {
		mine[p] = true
		switch {
		case t.isLost():
		case t.state == releasing:
			r.request.Release = append(r.request.Release, t.Lease)
		case t.state == finishing:
			r.request.Finish = append(r.request.Finish, t.Lease)
			r.request.Hold = append(r.request.Hold, t.Lease)
		default:
			r.request.Hold = append(r.request.Hold, t.Lease)
		}
	}
	if o.isAway(now) {
		r.request.Leave = len(o.tenures) == 0
	} else {
		r.request.Choose = func(view postgres.LeaseView) []delivery.Partition {
			s := share(view, o.Name, mine)
			chosen := s.take()
			r.chosen = len(chosen)
			return chosen
		}
	}
	o.round, o.nextRound = r, now.Add(roundEvery)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, roundWithin)
		defer cancel()
		r.view, r.err = o.Store.Leases(ctx, r.request)
		o.rounds <- r
	}()
}

// finishRound acts on the result of a round.
func (o *Owner) finishRound(ctx context.Context, r *round) {
	if r.err != nil {
		// An applier without leases retries no delivery, so nothing else would report it.
		o.Report.Postponed(nil, fmt.Errorf("PostgreSQL: %w", r.err))
		if !o.complained {
			o.Log.Warn().Err(r.err).Msg("cannot renew the leases of partitions, trying again")
		}
		o.complained = true
		return
	}
	o.complained = false
	o.until = r.sentAt.Add(leaseFor)
	rows := map[delivery.Partition]postgres.LeasedPartition{}
	for _, p := range r.view.Partitions {
		rows[p.Partition] = p
	}
	changed := o.isMember == r.request.Leave
	o.isMember = !r.request.Leave
	changed = o.ended(ctx, r, rows) || changed
	o.renewed(r.request.Hold, rows)
	took := 0
	for _, p := range r.view.Partitions {
		if p.Taken {
			o.take(p)
			took++
		}
	}
	if took < r.chosen {
		o.nextRound = time.Now().Add(retryTake)
	}
	o.giveBack(r)
	o.count()
	if changed {
		_ = o.Broker.HintPartitions() // losing it costs a second
	}
}

// ended forgets the leases that the round has released or finished.
func (o *Owner) ended(ctx context.Context, r *round, rows map[delivery.Partition]postgres.LeasedPartition) (changed bool) {
	for _, l := range r.request.Release {
		if t := o.tenures[l.Partition]; t != nil && t.Lease == l {
			delete(o.tenures, l.Partition)
			o.say(o.Log.Info(), t).Msg("handed a partition over")
			changed = true
		}
	}
	for _, l := range r.request.Finish {
		row, isLeft := rows[l.Partition]
		t := o.tenures[l.Partition]
		if isLeft && row.Owner == o.Name && row.Token == l.Token || t == nil || t.Lease != l {
			continue
		}
		delete(o.tenures, l.Partition)
		o.say(o.Log.Info(), t).Msg("finished a partition of an old generation")
		changed = true
		o.finished[l.Generation] = l.Count
	}
	o.removeFinished(ctx, r.view)
	return changed
}

// removeFinished deletes the consumers of generations of which nothing is left. Appliers
// that finish the last partitions at the same time do not see each other yet: so each
// remembers the generation until a later round shows that nothing is left of it.
func (o *Owner) removeFinished(ctx context.Context, view postgres.LeaseView) {
	for generation, count := range o.finished {
		if !slices.ContainsFunc(view.Partitions, func(p postgres.LeasedPartition) bool { return p.Generation == generation }) {
			delete(o.finished, generation)
			go o.remove(ctx, generation, count)
		}
	}
}

// renewed compares the leases that the round held with the rows.
func (o *Owner) renewed(held []applier.Lease, rows map[delivery.Partition]postgres.LeasedPartition) {
	for _, l := range held {
		t := o.tenures[l.Partition]
		if t == nil || t.Lease != l {
			continue
		}
		row := rows[l.Partition]
		if row.Owner != o.Name || row.Token != l.Token || !row.Lives {
			o.lose(t, "another applier has it")
			continue
		}
		if row.Ends && !t.ends {
			t.ends, t.endsAt = true, row.EndsAt
			o.Engine.EndAt(t.Partition, t.endsAt)
		}
		if t.state == settling && t.isEmpty() {
			o.drop(t, finishing)
		}
	}
}

// take begins to settle a partition that a round has taken.
func (o *Owner) take(p postgres.LeasedPartition) {
	t := &tenure{Lease: p.Lease, beginsAfter: p.BeginsAfter, ends: p.Ends, endsAt: p.EndsAt}
	o.tenures[p.Partition] = t
	if p.From != "" && p.From != o.Name {
		o.takeovers.Inc()
	}
	o.say(o.Log.Info(), t).Str("from", p.From).Msg("took a partition")
	if t.isEmpty() {
		t.state = finishing
		o.nextRound = time.Now()
		return
	}
	o.Engine.Take(t.Lease, t.endsAt)
}

// giveBack stops what is above the share.
func (o *Owner) giveBack(r *round) {
	mine := map[delivery.Partition]bool{}
	var settles []*tenure
	for p, t := range o.tenures {
		if mine[p] = true; t.state == settling {
			settles = append(settles, t)
		}
	}
	slices.SortFunc(settles, func(a, b *tenure) int { return b.Index - a.Index })
	s := share(r.view, o.Name, mine)
	stopping := s.has - len(settles) // given back already
	for i := range min(max(s.give()-stopping, 0), len(settles)) {
		o.drop(settles[i], releasing)
	}
}

// remove deletes the consumers of a finished generation, which several appliers may do. If
// this process ends before, the next setup deletes them.
func (o *Owner) remove(ctx context.Context, generation, partitions int) {
	for {
		err := o.Broker.DeleteGeneration(ctx, generation, partitions)
		if err == nil {
			return
		}
		o.Log.Debug().Err(err).Int("generation", generation).Msg("cannot delete the consumers of a finished generation, trying again")
		select {
		case <-time.After(roundEvery):
		case <-ctx.Done():
			return
		}
	}
}
