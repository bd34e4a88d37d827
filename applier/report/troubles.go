package report

import (
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
	// publishEvery is the least time from one publication to the next. Shorter troubles
	// are not published.
	publishEvery = 2 * time.Second
	// forgottenAfter is how long a trouble without a new attempt is published: then another
	// applier owns the partition. An attempt takes up to 30 s.
	forgottenAfter = time.Minute
	// generalFor is how long an error that concerns no particular delivery lasts at
	// least: what fails is tried again sooner.
	generalFor = 5 * time.Second
)

// Notice is where an applier says what troubles it.
type Notice interface {
	Put(ctx context.Context, t broker.Trouble) error
	Clear(ctx context.Context) error
	// Tidy removes what others left behind.
	Tidy(ctx context.Context) error
}

// troubles remembers what cannot be settled now. Telling it takes no more than a
// lock that is held for moments; publishing is done next to it.
type troubles struct {
	now func() time.Time

	mu      sync.Mutex
	retried map[delivery.ID]*open
	general *open // what concerns no particular delivery, nil for nothing
}

// open is what is tried again.
type open struct {
	sequence uint64
	slot     int
	since    time.Time
	lastSeen time.Time
	attempts int
	why      string
}

func newTroubles(now func() time.Time) *troubles {
	return &troubles{now: now, retried: map[delivery.ID]*open{}}
}

func (t *troubles) postponed(deliveries []*delivery.Delivery, err error) {
	why := reason(err)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(deliveries) == 0 {
		t.general = t.again(t.general, why, 0)
	}
	for _, d := range deliveries {
		o := t.again(t.retried[d.ID], why, d.Attempt) // the broker counts those of other appliers
		o.sequence, o.slot = d.Position.Sequence, d.InSlot()
		t.retried[d.ID] = o
	}
}

func (t *troubles) again(o *open, why string, attempt int) *open {
	if o == nil {
		o = &open{since: t.now().UTC()}
	}
	o.attempts, o.why, o.lastSeen = max(o.attempts+1, attempt), why, t.now()
	return o
}

// settled records that a delivery has a row.
func (t *troubles) settled(id delivery.ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.retried, id)
	if t.general != nil && t.now().Sub(t.general.lastSeen) > generalFor {
		t.general = nil
	}
}

// snapshot returns what there is to say now; ok is false when there is nothing.
func (t *troubles) snapshot() (now broker.Trouble, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	isOver := func(o *open) bool { return t.now().Sub(o.lastSeen) > forgottenAfter }
	maps.DeleteFunc(t.retried, func(_ delivery.ID, o *open) bool { return isOver(o) })
	if t.general != nil && isOver(t.general) {
		t.general = nil
	}
	if len(t.retried) == 0 && t.general == nil {
		return now, false
	}
	r := &broker.TroubleRetried{Deliveries: len(t.retried)}
	var newest time.Time
	slots := map[int]bool{}
	note := func(o *open) {
		r.Attempts = max(r.Attempts, o.attempts)
		if r.Since.IsZero() || o.since.Before(r.Since) {
			r.Since = o.since
		}
		if !o.lastSeen.Before(newest) {
			newest, r.Why = o.lastSeen, o.why
		}
	}
	for _, o := range t.retried {
		note(o)
		slots[o.slot] = true
		if r.First == 0 || o.sequence < r.First {
			r.First = o.sequence
		}
		r.Last = max(r.Last, o.sequence)
	}
	if t.general != nil {
		note(t.general)
		clear(slots) // the whole applier waits
	}
	r.Slots = slices.Sorted(maps.Keys(slots))
	return broker.Trouble{Retried: r}, true
}

// publisher keeps a notice true.
type publisher struct {
	troubles *troubles
	notice   Notice
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
			p.log.Debug().Err(err).Msg("cannot publish the causes of retries, trying again")
		}
	}
}

// publish says what has begun, changed or ended, and now and again what lasts.
func (p *publisher) publish(ctx context.Context) error {
	now, ok := p.troubles.snapshot()
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

// withdraw comes last: other appliers get what this applier had.
func (p *publisher) withdraw(ctx context.Context) {
	if p.published == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := p.notice.Clear(ctx); err != nil {
		p.log.Debug().Err(err).Msg("cannot withdraw the causes of retries")
	}
}

// same reports whether two notices are equal except for the attempts, which rise all the
// time.
func same(a, b broker.Trouble) bool { return reflect.DeepEqual(uncounted(a), uncounted(b)) }

func uncounted(t broker.Trouble) broker.Trouble {
	if t.Retried != nil {
		r := *t.Retried
		r.Attempts = 0
		t.Retried = &r
	}
	return t
}
