package console

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	// choicesShown is how many samples or deliveries there are to choose from.
	choicesShown = 10
	// caughtFor is how long previews use a caught payload, because every key press asks for
	// one.
	caughtFor = 10 * time.Minute
	// caughtBytes is how much of payloads is kept.
	caughtBytes = 32 << 20
)

// choice is a sample or a delivery that the mapping can be drawn from. A sample has no
// outcome.
type choice struct {
	ID      delivery.ID
	At      time.Time
	Status  delivery.Status
	Current bool
}

// choices are the last deliveries of a webhook, the newest first. Of a draft they are its
// samples.
func (s *Console) choices(c *request, w webhooks.Stored, current delivery.ID) (all []choice) {
	if w.State == webhook.Draft {
		for _, one := range s.samplesOf(c.ctx(), w) {
			all = append(all, choice{ID: one.ID, At: one.ReceivedAt, Current: one.ID == current})
		}
		return all
	}
	page, err := s.History.Page(c.ctx(), history.Filter{WebhookID: w.ID, Limit: choicesShown}, history.Place{})
	if err != nil { // there is the newest one
		s.Log.Warn().Err(err).Str("webhook_id", webhook.Fingerprint(w.ID)).Msg("cannot list deliveries to choose from")
		return nil
	}
	for _, d := range page.Deliveries {
		all = append(all, choice{ID: d.ID, At: d.ReceivedAt, Status: d.Status, Current: d.ID == current})
	}
	return all
}

// samplesOf are those of a draft, the newest first.
func (s *Console) samplesOf(ctx context.Context, w webhooks.Stored) []delivery.Delivery {
	all, err := s.Catcher.Samples(ctx, w)
	if err != nil { // there is the newest one
		s.Log.Warn().Err(err).Str("webhook_id", webhook.Fingerprint(w.ID)).Msg("cannot list samples to choose from")
	}
	return all
}

// chosen is the sample or delivery with an id; not ok where the webhook has none that can be
// read.
func (s *Console) chosen(ctx context.Context, w webhooks.Stored, text string) (caught sample.Caught, ok bool) {
	if caught, ok = s.caught.get(w.ID, text); ok {
		return caught, true
	}
	id, err := delivery.ParseID(text)
	if err != nil {
		return caught, false
	}
	if w.State == webhook.Draft {
		all := s.samplesOf(ctx, w)
		if i := slices.IndexFunc(all, func(d delivery.Delivery) bool { return d.ID == id }); i >= 0 {
			caught, err = s.Catcher.OpenedSample(ctx, w, all[i])
			return caught, err == nil
		}
	}
	full, err := s.History.Show(ctx, id)
	if err != nil || full.WebhookID != w.ID || full.Payload == nil {
		return caught, false
	}
	caught, err = s.Catcher.Opened(ctx, w, delivery.Delivery{
		ID: full.ID, WebhookID: full.WebhookID, ReceivedAt: full.ReceivedAt, Headers: full.Headers, Method: full.Method, Query: full.Query, Body: full.Payload,
	})
	return caught, err == nil
}

// caughtCache keeps what was caught, for previews and choices: of each webhook the last
// ones, that which was shown last first.
type caughtCache struct {
	mu    sync.Mutex
	all   map[string][]cachedCatch
	bytes int
}

type cachedCatch struct {
	sample.Caught
	at time.Time
}

func (cc *caughtCache) put(id string, caught sample.Caught) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	kept := slices.DeleteFunc(cc.all[id], func(one cachedCatch) bool { return one.ID == caught.ID })
	kept = append([]cachedCatch{{caught, time.Now()}}, kept...)
	if cc.bytes += len(caught.Payload) + len(caught.Body); cc.all == nil || cc.bytes > caughtBytes {
		cc.all, cc.bytes, kept = map[string][]cachedCatch{}, 0, kept[:1]
	}
	cc.all[id] = kept[:min(len(kept), choicesShown)]
}

// get returns what was caught with an id; without one that which was shown last.
func (cc *caughtCache) get(id, of string) (sample.Caught, bool) {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	for _, one := range cc.all[id] {
		if of == "" && time.Since(one.at) >= caughtFor {
			break
		}
		if of == "" || one.ID.String() == of {
			return one.Caught, true
		}
	}
	return sample.Caught{}, false
}

// looks remembers who has seen which payload that came encrypted: a draft shows its sample
// again with each click.
type looks struct {
	mu  sync.Mutex
	all map[look]bool
}

type look struct {
	account string
	id      delivery.ID
}

// looksKept bounds what is remembered.
const looksKept = 10_000

func (l *looks) has(one look) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[one]
}

func (l *looks) add(one look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil || len(l.all) >= looksKept {
		l.all = map[look]bool{}
	}
	l.all[one] = true
}

// noteLook writes into the audit trail that somebody sees what came encrypted, as the page of
// a delivery does. It is not shown where that cannot be written.
func (s *Console) noteLook(c *request, v *sampleView) {
	if v.Caught == nil || !v.Caught.SaysEncrypted() {
		return
	}
	one := look{c.session.Account, v.Caught.ID}
	if s.looks.has(one) {
		return
	}
	err := c.record(showsDecrypted, "delivery", one.id.String(), map[string]any{"webhook": v.Webhook.ID, "community": v.Webhook.Community})
	if err != nil {
		s.Log.Error().Err(err).Str("webhook_id", v.Webhook.ID).Msg("a decrypted payload is not shown: the audit trail could not be written")
		*v = sampleView{Webhook: v.Webhook, MayChange: v.MayChange, Of: v.Of, Problem: "It came encrypted, and is not shown: the audit trail cannot be written at this moment. Try again."}
		return
	}
	s.looks.add(one)
}
