package report

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// publishEvery is the least time from one publication to the next. What is over
	// sooner is not worth one.
	publishEvery = 2 * time.Second
	// asideTold is how many of the deliveries that are set aside are named.
	asideTold = 100
	// asideForgotten is when one counts as settled by another applier: each that
	// is still set aside is looked at every few seconds.
	asideForgotten = 30 * time.Second
)

// Notice is where an applier says what troubles it.
type Notice interface {
	Put(ctx context.Context, t broker.Trouble) error
	Clear(ctx context.Context) error
	// Tidy removes what others left behind.
	Tidy(ctx context.Context) error
}

// troubles remembers what cannot be settled now. Telling it takes no more than a
// lock that is held for moments; publishing is done beside it.
type troubles struct {
	now func() time.Time

	mu      sync.Mutex
	retried map[delivery.ID]*open
	aside   map[delivery.ID]*open
}

// open is a delivery without an outcome.
type open struct {
	id       delivery.ID
	position delivery.Position
	since    time.Time
	lastSeen time.Time
	attempts int
	why      string
}

func newTroubles(now func() time.Time) *troubles {
	return &troubles{now: now, retried: map[delivery.ID]*open{}, aside: map[delivery.ID]*open{}}
}

func (t *troubles) postponed(deliveries []*delivery.Delivery, err error) {
	why := reason(err)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range deliveries {
		delete(t.aside, d.ID)
		t.note(t.retried, d, why)
	}
}

func (t *troubles) setAside(d *delivery.Delivery, err error) {
	why := reason(err)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.retried, d.ID)
	t.note(t.aside, d, why)
}

func (t *troubles) note(in map[delivery.ID]*open, d *delivery.Delivery, why string) {
	o := in[d.ID]
	if o == nil {
		o = &open{id: d.ID, since: t.now().UTC()}
		in[d.ID] = o
	}
	o.attempts = max(o.attempts+1, d.Attempt) // the broker counts those of other appliers
	o.position, o.why, o.lastSeen = d.Position, why, t.now()
}

func (t *troubles) settled(id delivery.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.retried, id)
	delete(t.aside, id)
}

// snapshot returns what there is to say now; ok is false when there is nothing.
func (t *troubles) snapshot(held func() broker.Spans) (now broker.Trouble, ok bool) {
	t.mu.Lock()
	maps.DeleteFunc(t.aside, func(_ delivery.ID, o *open) bool { return t.now().Sub(o.lastSeen) > asideForgotten })
	retried, aside := listed(t.retried), listed(t.aside)
	t.mu.Unlock() // the rest takes its time
	if len(retried) > 0 {
		now.Retried, now.Held = retriedOf(retried), held()
	}
	now.AsideDeliveries = len(aside)
	slices.SortFunc(aside, open.compare)
	for _, o := range aside[:min(len(aside), asideTold)] {
		now.Aside = append(now.Aside, broker.TroubleAside{
			ID: o.id, Sequence: o.position.Sequence, Since: o.since, Attempts: o.attempts, Why: o.why,
		})
	}
	return now, len(retried)+len(aside) > 0
}

func listed(deliveries map[delivery.ID]*open) []open {
	all := make([]open, 0, len(deliveries))
	for _, o := range deliveries {
		all = append(all, *o)
	}
	return all
}

func (o open) compare(other open) int {
	return cmp.Or(o.position.Compare(other.position), slices.Compare(o.id[:], other.id[:]))
}

func retriedOf(batch []open) *broker.TroubleRetried {
	slices.SortFunc(batch, open.compare)
	r := &broker.TroubleRetried{Deliveries: len(batch)}
	sequences := make([]uint64, len(batch))
	var newest time.Time
	for i, o := range batch {
		sequences[i] = o.position.Sequence
		r.Attempts = max(r.Attempts, o.attempts)
		if r.Since.IsZero() || o.since.Before(r.Since) {
			r.Since = o.since
		}
		if !o.lastSeen.Before(newest) {
			newest, r.Why = o.lastSeen, o.why
		}
	}
	r.Messages = broker.NewSpans(sequences...)
	return r
}

// publisher keeps a notice true.
type publisher struct {
	troubles *troubles
	notice   Notice
	held     func() broker.Spans
	log      zerolog.Logger

	published *broker.Trouble // nil: the notice says nothing
	at        time.Time
}

func (p *publisher) run(ctx context.Context) error {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	tidied := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.withdraw(ctx)
			return nil
		}
		if !tidied {
			tidied = p.notice.Tidy(ctx) == nil
		}
		if err := p.publish(ctx); err != nil {
			p.log.Debug().Err(err).Msg("could not say what is tried again, trying again")
		}
	}
}

// publish says what has begun, changed or ended, and now and again what lasts.
func (p *publisher) publish(ctx context.Context) error {
	now, ok := p.troubles.snapshot(p.held)
	if !ok {
		if p.published == nil {
			return nil
		}
		if err := p.notice.Clear(ctx); err != nil {
			return err
		}
		p.published = nil
		return nil
	}
	if p.published != nil && time.Since(p.at) < broker.RefreshTrouble && same(*p.published, now) {
		return nil
	}
	if err := p.notice.Put(ctx, now); err != nil {
		return err
	}
	p.published, p.at = &now, time.Now()
	return nil
}

// withdraw is the last thing that is done: what this applier had, others get.
func (p *publisher) withdraw(ctx context.Context) {
	if p.published == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := p.notice.Clear(ctx); err != nil {
		p.log.Debug().Err(err).Msg("could not withdraw what was said of deliveries that are tried again")
	}
}

// same reports whether two say the same but for the attempts, which rise all the
// time.
func same(a, b broker.Trouble) bool { return reflect.DeepEqual(uncounted(a), uncounted(b)) }

func uncounted(t broker.Trouble) broker.Trouble {
	if t.Retried != nil {
		r := *t.Retried
		r.Attempts = 0
		t.Retried = &r
	}
	t.Aside = slices.Clone(t.Aside)
	for i := range t.Aside {
		t.Aside[i].Attempts = 0
	}
	return t
}
