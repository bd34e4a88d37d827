package main

import (
	"context"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// parked compares a healthy community's drain next to the deliveries of a paused
// webhook with one without them, and then resumes the webhook.
func (b *bench) parked(ctx context.Context) (section, error) {
	s := section{
		Title: fmt.Sprintf("Parked: %s deliveries of a paused webhook, %d appliers, drains of %s, in deliveries/s",
			whole(float64(b.size.parked)), len(b.appliers), whole(float64(b.size.drained))),
		Notes: []string{
			"alone, next to them: drains of a healthy community. parking: rows a second, from the first request on.",
			"resume: from the first effect of a parked delivery to the last.",
		},
		header: []string{"alone", "next to them", "ratio", "parking", "resume", "to alone"},
	}
	healthy, err := b.newSide(ctx, "healthy", 1)
	if err != nil {
		return s, err
	}
	waiting, err := b.newSide(ctx, "paused", 1)
	if err != nil {
		return s, err
	}
	var alone, next, parking, resume series
	for range b.size.rounds { // parking and resuming come in between, so there is one order only
		d, err := b.drainOnce(ctx, healthy, load{connections: drainSenders, total: b.size.drained}, b.start())
		if err != nil {
			return s, err
		}
		alone = append(alone, d.rate)
		sent, rate, err := b.park(ctx, waiting)
		if err != nil {
			return s, err
		}
		parking = append(parking, rate)
		if d, err = b.drainOnce(ctx, healthy, load{connections: drainSenders, total: b.size.drained}, b.start()); err != nil {
			return s, err
		}
		next = append(next, d.rate)
		if rate, err = b.resumeParked(ctx, waiting, sent); err != nil {
			return s, err
		}
		resume = append(resume, rate)
	}
	r := s.row("parked_")
	r.figure("alone", alone.median(), perSecond)
	r.figure("next", next.median(), perSecond)
	r.figure("next_to_alone", next.to(alone), ratio)
	r.figure("parking", parking.median(), perSecond)
	r.figure("resume", resume.median(), perSecond)
	r.figure("resume_to_alone", resume.to(alone), ratio)
	return s, nil
}

// park pauses the webhook and returns once all that is sent then is parked.
func (b *bench) park(ctx context.Context, s *side) (sent sending, rate float64, err error) {
	if err := b.do(ctx, "webhooks", "pause", s.webhooks[0].ID, "--yes"); err != nil {
		return sent, 0, err
	}
	s.sent = &tally{}
	if sent, err = s.flow(ctx, load{connections: drainSenders, total: b.size.parked}); err != nil {
		return sent, 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, effectsWithin, fmt.Errorf("not everything was parked after %s", effectsWithin))
	defer cancel()
	n := 0
	if err := poll(ctx, func() (bool, error) {
		err := b.db.QueryRowContext(ctx, "SELECT count(*) FROM parked WHERE community = $1", s.communities[0]).Scan(&n)
		return n >= len(sent.requests), err
	}); err != nil {
		return sent, 0, fmt.Errorf("count what is parked, %d of %d: %w", n, len(sent.requests), err)
	}
	return sent, float64(len(sent.requests)) / time.Since(sent.start).Seconds(), nil
}

// resumeParked returns how many parked deliveries a second had their effect.
func (b *bench) resumeParked(ctx context.Context, s *side, sent sending) (float64, error) {
	if err := b.do(ctx, "webhooks", "resume", s.webhooks[0].ID, "--yes"); err != nil {
		return 0, err
	}
	effects, err := s.settled(ctx, sent)
	if err != nil {
		return 0, err
	}
	return countFrom(effects, time.Time{}), s.check(ctx)
}

// idleConnections is how many senders keep a connection that they do not use.
const idleConnections = 4096

// idle measures what connections cost that do nothing.
func (b *bench) idle(ctx context.Context) (section, error) {
	s := section{
		Title:  fmt.Sprintf("Idle connections: memory of the ingress with %s, in MB", whole(idleConnections)),
		Notes:  []string{"Each had one request before. RSS, from /proc."},
		header: []string{"before", "with them", "KB each"},
	}
	ours, err := b.newSide(ctx, "bench", 1)
	if err != nil {
		return s, err
	}
	pid := b.stack.PID(devstack.Ingress)
	before, err := residentMB(pid)
	if err != nil {
		return s, err
	}
	var senders []*sender
	defer func() { hangUp(senders) }() // nothing is left to be sent
	for i := range idleConnections {
		// The ingress does not wait long for a connection's first request.
		sender, err := dialOne(ctx, ours.host, i)
		if err != nil {
			return s, err
		}
		senders = append(senders, sender)
		e := ours.events[i%len(ours.events)]
		if _, err := sender.send(e.request); err != nil {
			return s, err
		}
		ours.sent.add(e.points)
	}
	with, err := residentMB(pid)
	if err != nil {
		return s, err
	}
	r := s.row("idle_")
	r.figure("before", before, inMB)
	r.figure("with", with, inMB)
	r.cell(ms(1e3 * (with - before) / idleConnections))
	// The check waits for what these sent.
	if _, err := ours.send(ctx, load{connections: 1, total: 1}); err != nil {
		return s, err
	}
	return s, ours.check(ctx)
}
