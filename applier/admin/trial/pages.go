package trial

import (
	"context"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// page collects deliveries until their bodies fill one page.
type page struct {
	deliveries []delivery.Delivery
	bytes      int
	do         func([]delivery.Delivery) error
}

func (p *page) add(d delivery.Delivery) error {
	p.deliveries, p.bytes = append(p.deliveries, d), p.bytes+len(d.Body)
	if len(p.deliveries) < pageDeliveries && p.bytes < pageBytes {
		return nil
	}
	return p.flush()
}

func (p *page) flush() error {
	if len(p.deliveries) == 0 {
		return nil
	}
	err := p.do(p.deliveries)
	clear(p.deliveries) // let the bodies go
	p.deliveries, p.bytes = p.deliveries[:0], 0
	return err
}

// pages calls f with the deliveries that were found, page by page, except those that are
// gone meanwhile.
func (b *Backtest) pages(ctx context.Context, webhookID string, f *found, do func([]delivery.Delivery) error) error {
	p := page{do: do}
	if err := b.readLetters(ctx, webhookID, f.letters, &p); err != nil {
		return err
	}
	for rest := f.places; len(rest) > 0; {
		n := 1 // of the same message
		for n < len(rest) && rest[n].Sequence == rest[0].Sequence {
			n++
		}
		if err := b.readMessage(ctx, rest[:n], &p); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return p.flush()
}

func (b *Backtest) readMessage(ctx context.Context, places []place, p *page) error {
	message, err := b.stream.Deliveries(ctx, places[0].Sequence)
	if err != nil {
		return err
	}
	for _, at := range places {
		// A stream that was made again meanwhile has something else there.
		if at.Index >= len(message) || message[at.Index].ID != at.id {
			continue
		}
		if err := p.add(message[at.Index]); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backtest) readLetters(ctx context.Context, webhookID string, letters []letter, p *page) error {
	for len(letters) > 0 {
		n, bytes := 0, 0
		var ids []delivery.ID
		for ; n < len(letters) && n < pageDeliveries && bytes < pageBytes; n++ {
			ids, bytes = append(ids, letters[n].id), bytes+letters[n].bytes
		}
		bodies, err := b.store.DeadLetterBodies(ctx, ids)
		if err != nil {
			return err
		}
		for _, l := range letters[:n] {
			body, ok := bodies[l.id]
			if !ok {
				continue
			}
			// The original payload is tried, also if an admin has edited it since.
			d := delivery.Delivery{ID: l.id, WebhookID: webhookID, ReceivedAt: l.receivedAt, Headers: body.Headers, Method: body.Method, Query: body.Query, Body: body.Payload}
			if err := p.add(d); err != nil {
				return err
			}
		}
		letters = letters[n:]
	}
	return nil
}
