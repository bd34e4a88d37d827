package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// partition is one that this applier owns, with the goroutine that feeds the lanes.
type partition struct {
	engine *Engine
	lease  applier.Lease
	feed   *broker.Feed
	log    zerolog.Logger

	// held, users and came are used only by the goroutine that feeds. came is when
	// deliveries last came from the stream.
	held  map[string]*heldWebhook
	users heldUsers
	came  time.Time

	ctx    context.Context
	cancel context.CancelFunc
	ended  chan struct{} // closed when nothing more is put into lanes

	// home is the lane of all deliveries where width, the number of lanes, is 1. wasBusy
	// and wasCrowded are when it last had work for several, and for all: see spread.
	home, width         int
	wasBusy, wasCrowded time.Time

	flow flow
	// changed tells that a transaction with deliveries of the partition has ended.
	changed chan struct{}
}

func newPartition(e *Engine, l applier.Lease) *partition {
	return &partition{
		engine: e, lease: l, feed: e.Conn.NewFeed(l.Partition, e.Log),
		log:   e.Log.With().Int("generation", l.Generation).Int("partition", l.Index).Logger(),
		width: 1, held: map[string]*heldWebhook{}, ended: make(chan struct{}), changed: make(chan struct{}, 1),
	}
}

// run feeds the lanes until the partition is dropped.
func (p *partition) run() {
	defer close(p.ended)
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(func() { p.feed.Run(p.ctx) }) // it ends with ctx
	if !p.loadHeld() {
		return
	}
	tick := time.NewTicker(biteEvery)
	defer tick.Stop()
	atOnce := make(chan struct{})
	close(atOnce)
	for hasMore := false; p.awaitRoom(); {
		var more <-chan struct{}
		switch {
		case hasMore:
			more = atOnce
		case p.isDraining():
			more = p.changed
		}
		select {
		case r := <-p.feed.C():
			p.came = time.Now()
			p.live(p.gather(r))
		case <-more:
			hasMore = p.bite()
		case <-tick.C:
			hasMore = p.bite()
		case <-p.ctx.Done():
		}
	}
}

// received is one delivery with the receipt of its message.
type received struct {
	*delivery.Delivery
	receipt *broker.Receipt
}

// gather adds the messages that are there already, up to a batch.
func (p *partition) gather(r broker.Received) (all []received) {
	bytes := 0
	for {
		p.feed.Took(r)
		for i := range r.Deliveries {
			all = append(all, received{&r.Deliveries[i], r.Receipt})
			bytes += len(r.Deliveries[i].Body)
		}
		if len(all) >= batchDeliveries || bytes >= batchBytes {
			return all
		}
		select {
		case r = <-p.feed.C():
		default:
			return all
		}
	}
}

// live plans deliveries from the stream. It returns once each is parked or in its
// lane.
func (p *partition) live(all []received) {
	wait := newBackOff()
	for len(all) > 0 && p.awaitRoom() {
		ready, parked, failure := p.sort(all)
		if !p.park(parked) || !p.enqueue(ready) {
			return
		}
		all = all[len(ready)+len(parked):]
		if failure != nil && p.ctx.Err() == nil {
			p.postpone(all, failure)
			p.pause(wait)
		}
	}
}

// parking is a delivery that has to be parked.
type parking struct {
	applier.Parking
	receipt *broker.Receipt // nil for one that was parked before
}

// sort plans deliveries in their order, as many as Plan takes. Those of webhooks that have
// parked ones are parked behind them. After a failure, which is no delivery's own, it
// returns those before it.
func (p *partition) sort(all []received) (ready []work, parked []parking, failure error) {
	toPlan := make([]delivery.Delivery, 0, len(all))
	waits := make([]bool, len(all)) // not planned; others may come to wait below
	for i, r := range all {
		if waits[i] = p.held[r.WebhookID] != nil; !waits[i] {
			toPlan = append(toPlan, *r.Delivery)
		}
	}
	planned := p.engine.Applier.Plan(p.ctx, toPlan)
	for i, r := range all {
		plan := applier.Planned{Item: applier.Item{Delivery: r.Delivery}}
		if !waits[i] {
			if len(planned) == 0 {
				return ready, parked, failure
			}
			plan, planned = planned[0], planned[1:]
		}
		plan.Item.Lease = &p.lease
		h := p.held[r.WebhookID]
		if h == nil && plan.Park != "" {
			h = p.hold(plan)
		}
		switch {
		case h != nil:
			parked = append(parked, h.parking(plan.Item, r.receipt))
		case plan.Err != nil:
			return ready, parked, plan.Err
		default:
			ready = append(ready, work{Item: plan.Item, partition: p, receipt: r.receipt})
		}
	}
	return ready, parked, nil
}

// postpone reports deliveries that cannot be planned now.
func (p *partition) postpone(all []received, err error) {
	deliveries := make([]*delivery.Delivery, len(all))
	for i, r := range all {
		deliveries[i] = r.Delivery
	}
	p.engine.Report.Postponed(deliveries, err)
}

// park gives deliveries rows of their own, however long that takes. It returns false
// when the partition was dropped.
func (p *partition) park(all []parking) bool {
	if len(all) == 0 {
		return true
	}
	rows := make([]applier.Parking, len(all))
	for i := range all {
		rows[i] = all[i].Parking
	}
	if !p.persist(func(ctx context.Context) error { return p.engine.Store.Park(ctx, rows) }) {
		return false
	}
	for _, one := range all {
		p.engine.Report.Parked(one.Delivery, one.Reason, errors.New(one.Detail))
		if one.receipt != nil {
			p.feed.Settled(one.receipt, 1)
		}
	}
	return true
}

// enqueue puts deliveries into lanes, those of a user into the same one. It returns false
// when the partition was dropped.
func (p *partition) enqueue(all []work) bool {
	if len(all) == 0 {
		return true
	}
	now := time.Now()
	p.tell(all, now)
	for i := range all {
		all[i].changes = len(all[i].Plan.Changes)
	}
	if !p.spread(now) {
		return false
	}
	lanes := p.lanes()
	shares := make([][]work, len(lanes))
	switch {
	case len(lanes) == 1:
		shares[0] = all
	case !p.share(all, shares):
		return false
	}
	p.count(all)
	for i, share := range shares {
		if len(share) > 0 {
			lanes[i].put(p, share, len(lanes) > 1)
		}
	}
	return true
}

// tell says whose deliveries come.
func (p *partition) tell(all []work, now time.Time) {
	last := ""
	for _, w := range all {
		if w.Webhook != nil && w.Webhook.Community != last {
			last = w.Webhook.Community
			p.engine.neighbours.saw(last, true, now)
		}
	}
}

// lanes are those of the partition's deliveries, as far apart as there is room for: few
// partitions have the same.
func (p *partition) lanes() []*lane {
	all := p.engine.lanes
	lanes := make([]*lane, p.width)
	for i := range lanes {
		lanes[i] = all[(p.home+i*len(all)/p.width)%len(all)]
	}
	return lanes
}

// spread decides whether the partition's deliveries go to its home only, to a few lanes,
// or to all, which only a community without neighbours gets. One lane needs nobody to look
// users up, and its transactions are larger, so they cost less. So only a partition that
// has work for more has more. It changes while none of its deliveries is in a lane, or a
// user would be in two. It returns false when the partition was dropped.
func (p *partition) spread(now time.Time) bool {
	width := p.wanted(now)
	if width == p.width {
		return true
	}
	if !p.awaitEmpty() {
		return false
	}
	p.width = width
	return true
}

// wanted is how many lanes the partition should have.
func (p *partition) wanted(now time.Time) int {
	p.flow.mu.Lock()
	isBusy, isCrowd := p.flow.deliveries >= spreadDeliveries, p.engine.isCrowd(&p.flow)
	p.flow.mu.Unlock()
	if isBusy {
		p.wasBusy = now
	}
	if isCrowd {
		p.wasCrowded = now
	}
	switch {
	case now.Sub(p.wasBusy) >= lately:
		return 1
	case now.Sub(p.wasCrowded) >= lately, p.engine.neighbours.areThere(now):
		return p.engine.sharedLanes()
	default:
		return len(p.engine.lanes)
	}
}

// share divides deliveries by their users. Email, username and external id may name
// the same user, so only the id tells.
func (p *partition) share(all []work, shares [][]work) bool {
	items := make([]applier.Item, len(all))
	for i, w := range all {
		items[i] = w.Item
	}
	var users []delivery.ID
	if !p.persist(func(ctx context.Context) (err error) {
		users, err = p.engine.Store.Locate(ctx, items)
		return err
	}) {
		return false
	}
	for i, w := range all {
		lane := int(binary.BigEndian.Uint64(users[i][8:]) % uint64(len(shares)))
		shares[lane] = append(shares[lane], w)
	}
	return true
}

// persist tries until do succeeds. It returns false when the partition was dropped.
func (p *partition) persist(do func(context.Context) error) bool {
	for wait := newBackOff(); p.ctx.Err() == nil; p.pause(wait) {
		err := do(p.ctx)
		if err == nil {
			return true
		}
		if p.ctx.Err() != nil {
			return false // the error is ours, not PostgreSQL's
		}
		var fenced *applier.FencedError
		if errors.As(err, &fenced) {
			p.engine.lose(p.lease)
			return false
		}
		p.engine.Report.Postponed(nil, fmt.Errorf("PostgreSQL: %w", err))
	}
	return false
}

func newBackOff() *backoff.ExponentialBackOff {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 2*time.Second
	return wait
}

func (p *partition) pause(wait *backoff.ExponentialBackOff) {
	select {
	case <-time.After(wait.NextBackOff()):
	case <-p.ctx.Done():
	}
}
