package engine

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	// biteEvery is how often the feeder looks for parked deliveries that can go on. It
	// costs nothing while none is parked.
	biteEvery = 250 * time.Millisecond
	// A partition takes no more parked deliveries out while so many are in its lanes. While
	// others come from the stream, these are fewBitten: one batch commits, and another is
	// ready. If none has come lately, manyBitten give several lanes work, and leave room for
	// the next that comes.
	fewBitten  = 2 * batchDeliveries
	manyBitten = flowDeliveries - batchDeliveries
	// tryEvery is how often the feeder tries whether a key opens now.
	tryEvery = 5 * time.Second
)

// heldWebhook is a webhook that has parked deliveries. Its later ones are parked behind
// them, until all are out.
type heldWebhook struct {
	webhook *webhook.Webhook // nil where it is not known
	reason  applier.ParkReason
	detail  string

	draining bool // as far as the feeder knows, the reason is gone
	// moved says that some of its deliveries may have waited for their users before. Later
	// ones of these users may still do.
	moved    bool
	after    *delivery.Place // of the last that was taken out
	next     time.Time       // of the next try
	revision uint64          // of the definition that was tried last
}

func (h *heldWebhook) parking(item applier.Item, receipt *broker.Receipt) parking {
	if item.Webhook == nil {
		item.Webhook = h.webhook
	}
	return parking{applier.Parking{Item: item, Reason: h.reason, Detail: h.detail}, receipt}
}

// heldUsers says whether users of the partition have parked deliveries.
type heldUsers struct {
	any  bool
	seen int // of flow.newlyParked
	// freed is flow.freed at the last bite.
	freed int
	next  time.Time
}

// hold has all later deliveries of a webhook parked behind this one.
func (p *partition) hold(plan applier.Planned) *heldWebhook {
	h := &heldWebhook{webhook: plan.Item.Webhook}
	h.stop(plan, time.Now())
	p.held[plan.Item.Delivery.WebhookID] = h
	return h
}

// stop notes why a delivery of the webhook cannot go on.
func (h *heldWebhook) stop(plan applier.Planned, now time.Time) {
	h.reason, h.detail = plan.Park, plan.Err.Error()
	h.draining, h.next = false, now.Add(tryEvery)
	if plan.Item.Webhook != nil {
		h.webhook, h.revision = plan.Item.Webhook, plan.Item.Webhook.Revision
	}
}

// loadHeld reads which webhooks have parked deliveries. It returns false when the
// partition was dropped.
func (p *partition) loadHeld() bool {
	p.users.any = true // until the first query says otherwise
	return p.persist(func(ctx context.Context) error {
		parked, err := p.engine.Store.ParkedWebhooks(ctx, p.lease.Partition)
		if err != nil {
			return err
		}
		for _, w := range parked {
			p.held[w.ID] = &heldWebhook{webhook: p.definition(w.ID), reason: w.Reason, detail: w.Reason.Detail(), moved: true}
		}
		return nil
	})
}

// definition returns the newest definition in memory, nil for none.
func (p *partition) definition(id string) *webhook.Webhook {
	w, _ := p.engine.Definitions.Lookup(id)
	return w
}

// isDraining reports whether there are parked deliveries to be taken out now.
func (p *partition) isDraining() bool {
	for _, h := range p.held {
		if h.draining {
			return true
		}
	}
	p.flow.mu.Lock()
	defer p.flow.mu.Unlock()
	return p.users.any && p.flow.freed > p.users.freed
}

// bite takes the next parked deliveries out that may go on. It leaves the lanes room for
// those from the stream. It reports whether it could go on at once.
func (p *partition) bite() (hasMore bool) {
	now := time.Now()
	for id, h := range p.held {
		if p.ctx.Err() != nil || !p.mayBite(now) {
			return false
		}
		if h.mayGoOn(p.definition(id), now) && p.biteOf(id, h, now) == batchDeliveries {
			hasMore = true
		}
	}
	p.biteOfUsers(now)
	return hasMore && p.mayBite(now)
}

// mayBite reports whether the lanes have room for more parked deliveries.
func (p *partition) mayBite(now time.Time) bool {
	most := manyBitten
	if len(p.feed.C()) > 0 || now.Sub(p.came) < lately {
		most = fewBitten
	}
	p.flow.mu.Lock()
	defer p.flow.mu.Unlock()
	return p.flow.parked < most && p.flow.bytes < flowBytes && p.flow.changes < flowChanges
}

// biting is how many parked deliveries are in the lanes.
func (p *partition) biting() int {
	p.flow.mu.Lock()
	defer p.flow.mu.Unlock()
	return p.flow.parked
}

// mayGoOn reports whether the webhook's parked deliveries are worth a try. w is its
// newest definition.
func (h *heldWebhook) mayGoOn(w *webhook.Webhook, now time.Time) bool {
	isNew := w != nil && w.Revision > h.revision
	switch {
	case h.draining:
	case w != nil && w.DeletedAt == nil && w.State == webhook.Paused:
		h.reason = applier.Paused
	default:
		h.draining = isNew || !now.Before(h.next)
	}
	return h.draining
}

// biteOf takes out deliveries of one webhook, in their order, and returns how many.
func (p *partition) biteOf(id string, h *heldWebhook, now time.Time) (taken int) {
	all, err := p.engine.Store.ParkedOf(p.ctx, p.lease.Partition, id, h.after, batchDeliveries)
	if err == nil {
		err = p.readNewer(all)
	}
	if err != nil {
		p.retryLater(err, h, now)
		return 0
	}
	if len(all) == 0 {
		p.isOut(id, h)
		return 0
	}
	ready := make([]work, 0, len(all))
	var stopped *applier.Planned
	for _, plan := range p.engine.Applier.Plan(p.ctx, all) {
		if plan.Err != nil {
			stopped = &plan
			break
		}
		plan.Item.Lease, plan.Item.WasParked = &p.lease, true
		ready = append(ready, work{Item: plan.Item, partition: p})
	}
	if n := len(ready); n > 0 {
		last := ready[n-1].Delivery
		h.after = &delivery.Place{Incarnation: last.Incarnation, Position: last.Position, StoredAt: last.StoredAt}
		if !p.enqueue(ready) {
			return 0
		}
	}
	switch {
	case stopped == nil:
	case stopped.Park == "":
		p.retryLater(stopped.Err, h, now)
	default:
		changed := stopped.Park != h.reason
		h.stop(*stopped, now)
		if changed {
			stopped.Item.Lease = &p.lease
			p.park([]parking{h.parking(stopped.Item, nil)})
		}
	}
	return len(ready)
}

// isOut is told that nothing is parked behind the last that was taken out.
func (p *partition) isOut(id string, h *heldWebhook) {
	switch {
	case h.after == nil:
		delete(p.held, id) // new deliveries get into the lanes behind them
	case p.biting() == 0:
		h.after = nil // look once more: a restored stream uses positions again
	}
}

// retryLater notes an error that is no delivery's own.
func (p *partition) retryLater(err error, h *heldWebhook, now time.Time) {
	if p.ctx.Err() != nil {
		return
	}
	h.draining, h.next = false, now.Add(time.Second)
	p.log.Warn().Err(err).Msg("cannot resume parked deliveries, trying again")
}

// biteOfUsers takes out deliveries whose users were locked.
func (p *partition) biteOfUsers(now time.Time) {
	p.flow.mu.Lock()
	newlyParked, busy, freed := p.flow.newlyParked, p.flow.ofUsers > 0, p.flow.freed
	p.flow.mu.Unlock()
	if newlyParked != p.users.seen {
		p.users.any, p.users.seen = true, newlyParked
	}
	if !p.users.any || busy || now.Before(p.users.next) {
		return
	}
	all, err := p.engine.Store.ParkedOfUsers(p.ctx, p.lease.Partition, batchDeliveries)
	if err != nil {
		p.users.next = now.Add(time.Second)
		return
	}
	if len(all) == 0 {
		p.users.any = false
		return
	}
	p.users.freed = freed
	p.enqueue(p.sortOfUsers(all, now))
}

// sortOfUsers returns the deliveries that may go on. It moves those whose webhook cannot
// go on: they wait for that, and no longer for their users.
//
// Nothing of the partition may be in a lane then. Otherwise a later delivery of the user
// could be decided before the one that its user does not wait for any more.
func (p *partition) sortOfUsers(all []delivery.Delivery, now time.Time) (ready []work) {
	for _, plan := range p.engine.Applier.Plan(p.ctx, all) {
		plan.Item.Lease, plan.Item.WasParked = &p.lease, true
		h := p.held[plan.Item.Delivery.WebhookID]
		if h == nil && plan.Park != "" {
			h = p.hold(plan)
		}
		switch {
		case plan.Err != nil && plan.Park == "":
			p.users.next = now.Add(time.Second)
		case plan.Err != nil || h != nil && !h.draining:
			// It may be in front of those that were taken out.
			h.after, h.moved = nil, true
			if !p.awaitEmpty() || !p.park([]parking{h.parking(plan.Item, nil)}) {
				return nil
			}
		case h != nil && h.moved:
			p.users.next = now.Add(biteEvery) // those that were moved come first
		default:
			ready = append(ready, work{Item: plan.Item, partition: p, ofUser: true})
		}
	}
	return ready
}
