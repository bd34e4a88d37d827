package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// rates are kept up for a while; each has its own number of connections.
var rates = []struct{ perSecond, connections int }{{500, 64}, {2000, 128}}

// sustained measures latencies at steady rates, with all appliers.
func (b *bench) sustained(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("3. End to end at steady rates, %s each, %d appliers", b.size.sustain, len(appliers)),
		Notes: []string{
			"Latencies are in ms and start when a request is due, whether or not a connection is free then.",
			"outcome: to finished_at, which is written just before COMMIT. backlog: deliveries without an outcome.",
			fmt.Sprintf("gone after: looked at every %s.", pollEvery),
			"steady: at the end of sending the backlog is less than a second's worth, and then it goes.",
		},
		header: []string{"asked/s", "achieved/s", "202 p50", "p99", "outcome p50", "p99", "backlog max", "at the end", "gone after s", "steady"},
	}
	for _, rate := range rates {
		if err := emptyTables(ctx, b.db); err != nil {
			return s, err
		}
		if err := b.keepUp(ctx, &s, rate.perSecond, rate.connections); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (b *bench) keepUp(ctx context.Context, s *section, rate, connections int) error {
	var sent tally
	watch := b.watchBacklog(ctx, &sent)
	start := time.Now()
	requests, err := b.openLoop(ctx, rate, connections, &sent)
	elapsed := time.Since(start)
	backlog, watchErr := watch()
	if err := errors.Join(err, watchErr); err != nil {
		return err
	}
	if err := b.settled(ctx, &sent); err != nil {
		return err
	}
	gone := time.Since(start) - elapsed
	accepted, outcome, err := b.latencies(ctx, requests)
	if err != nil {
		return err
	}
	achieved := float64(len(requests)) / elapsed.Seconds()
	steady := "no"
	if backlog.last < int64(rate) {
		steady = "yes"
	}
	name := fmt.Sprintf("steady_%d_", rate)
	s.figure(name+"achieved", achieved, perSecond)
	s.figure(name+"accepted_p50", accepted.p50, milliseconds)
	s.figure(name+"accepted_p99", accepted.p99, milliseconds)
	s.figure(name+"outcome_p50", outcome.p50, milliseconds)
	s.figure(name+"outcome_p99", outcome.p99, milliseconds)
	s.figure(name+"backlog_max", float64(backlog.most), deliveries)
	s.figure(name+"backlog_end", float64(backlog.last), deliveries)
	s.figure(name+"backlog_gone", gone.Seconds(), "s")
	s.rows = append(s.rows, []string{
		whole(float64(rate)), whole(achieved), ms(accepted.p50), ms(accepted.p99), ms(outcome.p50), ms(outcome.p99),
		whole(float64(backlog.most)), whole(float64(backlog.last)), ms(gone.Seconds()), steady,
	})
	return nil
}

// request is one that was answered with 202.
type request struct {
	id            string
	due, answered time.Time
}

// openLoop sends at the times that the rate asks for; one that is late is sent
// at once, and its latency counts from when it was due.
func (b *bench) openLoop(ctx context.Context, rate, connections int, sent *tally) (all []request, err error) {
	senders, err := b.dial(ctx, connections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, hangUp(senders)) }()
	total := int(b.size.sustain.Seconds() * float64(rate))
	all = make([]request, total)
	var next atomic.Int64
	start := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i, sender := range senders {
		choose := uniform(uint64(i))
		g.Go(func() error {
			for {
				k := int(next.Add(1)) - 1
				if k >= total || ctx.Err() != nil {
					return context.Cause(ctx)
				}
				r, e := &all[k], &b.events[choose()]
				r.due = due(start, rate, k)
				time.Sleep(time.Until(r.due))
				var err error
				if r.id, err = sender.send(e.request); err != nil {
					return err
				}
				r.answered = time.Now()
				sent.add(e.points)
			}
		})
	}
	return all, g.Wait()
}

// latencies looks up when each request's outcome was written: it is the same
// machine's clock.
func (b *bench) latencies(ctx context.Context, requests []request) (accepted, outcome latency, err error) {
	finished := make(map[string]time.Time, len(requests))
	rows, err := b.db.QueryContext(ctx, "SELECT delivery_id::text, finished_at FROM outcomes")
	if err != nil {
		return latency{}, latency{}, fmt.Errorf("read the outcomes: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	for rows.Next() {
		var id string
		var at time.Time
		if err := rows.Scan(&id, &at); err != nil {
			return latency{}, latency{}, fmt.Errorf("read the outcomes: %w", err)
		}
		finished[id] = at
	}
	if err := rows.Err(); err != nil {
		return latency{}, latency{}, fmt.Errorf("read the outcomes: %w", err)
	}
	var toAccepted, toOutcome []time.Duration
	for _, r := range requests {
		at, ok := finished[r.id]
		if !ok {
			return latency{}, latency{}, fmt.Errorf("WRONG RESULT: delivery %s was accepted and has no outcome", r.id)
		}
		toAccepted = append(toAccepted, r.answered.Sub(r.due))
		toOutcome = append(toOutcome, at.Sub(r.due))
	}
	return latencyOf(toAccepted), latencyOf(toOutcome), nil
}

// backlog is how many deliveries had no outcome, at most and at the end.
type backlog struct{ most, last int64 }

// watchBacklog samples until the function that it returns is called, which
// takes the last sample.
func (b *bench) watchBacklog(ctx context.Context, sent *tally) (end func() (backlog, error)) {
	var seen backlog
	var err error
	sample := func() {
		// What is accepted meanwhile is not counted: that would be no backlog.
		accepted := sent.deliveries.Load()
		n, countErr := countOutcomes(ctx, b.db)
		seen.last = max(accepted-n, 0)
		seen.most = max(seen.most, seen.last)
		err = errors.Join(err, countErr)
	}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				sample()
			case <-stop:
				return
			}
		}
	})
	return func() (backlog, error) {
		close(stop)
		watching.Wait()
		sample()
		return seen, err
	}
}

// ceiling is what the whole stack does when the senders never pause.
func (b *bench) ceiling(ctx context.Context) (section, error) {
	senders := crowds[0]
	s := section{
		Title:  fmt.Sprintf("4. Ceiling: %d senders flat out for %s, %d appliers, in deliveries/s", senders, b.size.flatOut, len(appliers)),
		header: []string{"senders", "accepted", "applied", "ratio", "backlog at the end", "gone after s"},
	}
	if err := emptyTables(ctx, b.db); err != nil {
		return s, err
	}
	var sent tally
	start := time.Now()
	accepted, err := b.sendFlatOut(ctx, senders, b.size.flatOut, &sent)
	if err != nil {
		return s, err
	}
	outcomes, err := countOutcomes(ctx, b.db)
	if err != nil {
		return s, err
	}
	ended := time.Now()
	if err := b.settled(ctx, &sent); err != nil {
		return s, err
	}
	applied := float64(outcomes) / ended.Sub(start).Seconds()
	left := float64(sent.deliveries.Load() - outcomes)
	gone := time.Since(ended).Seconds()
	s.figure("ceiling_accepted", accepted, perSecond)
	s.figure("ceiling_applied", applied, perSecond)
	s.figure("ceiling_applied_to_accepted", applied/accepted, ratio)
	s.figure("ceiling_backlog_end", left, deliveries)
	s.figure("ceiling_backlog_gone", gone, "s")
	s.rows = append(s.rows, []string{strconv.Itoa(senders), whole(accepted), whole(applied), times(applied / accepted), whole(left), ms(gone)})
	return s, nil
}
