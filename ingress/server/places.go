package server

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Why a request gets no place. The causes are logged; the sender learns less.
var (
	errOverloaded   = errors.New("too many requests or bytes in flight")
	errWebhookShare = errors.New("this webhook has its share of the requests or bytes in flight")
	errAddressShare = errors.New("this address has its share of the requests or bytes in flight")
)

// usage is a number of requests and of their bytes in one word, so that both
// change at once: the requests are in the upper bits.
type usage struct{ v atomic.Int64 }

const (
	byteBits = 40
	maxBytes = 1<<byteBits - 1
)

func amount(requests, bytes int64) int64 { return requests<<byteBits | bytes }

func (u *usage) requests() int64 { return u.v.Load() >> byteBits }
func (u *usage) bytes() int64    { return u.v.Load() & maxBytes }

// most bounds a usage.
type most struct{ requests, bytes int64 }

func (m most) allows(v int64) bool { return v>>byteBits <= m.requests && v&maxBytes <= m.bytes }

// part is this percentage of a bound, and at least floor.
func (m most) part(percent int64, floor most) most {
	return most{
		requests: min(m.requests, max(m.requests*percent/100, floor.requests)),
		bytes:    min(m.bytes, max(m.bytes*percent/100, floor.bytes)),
	}
}

// places bound the requests that are answered at a time, and the memory of their
// bodies. Nobody waits for a place: a sender that is refused at once can try
// another replica.
//
// One webhook and one address hold a share at most. For requests that prove who
// sends them the bound begins once half of all is taken: a single busy sender may
// use what nobody else needs.
type places struct {
	all, half, share most
	taken            usage
	webhooks         sync.Map // id to *usage; only of webhooks that exist
}

// smallestShare keeps small limits whole.
const smallestShare = 64

func newPlaces(opts Options) *places {
	all := most{requests: opts.MaxInFlight, bytes: opts.MaxInFlightBytes}
	floor := most{requests: smallestShare, bytes: opts.MaxBodyBytes}
	return &places{all: all, half: all.part(50, most{}), share: all.part(opts.SharePercent, floor)}
}

func (p *places) webhook(id string) *usage {
	if u, ok := p.webhooks.Load(id); ok {
		return u.(*usage)
	}
	u, _ := p.webhooks.LoadOrStore(id, new(usage))
	return u.(*usage)
}

// hold is what one request has taken.
type hold struct {
	places          *places
	webhook, client *usage
	// proven: a key or a password has shown who sends this. A signature shows it only
	// when the body is there, and all room for it is taken.
	proven bool
	amount int64
	// limit is the largest body that is read.
	limit int64
}

// take takes more, or says why it cannot and takes nothing.
func (h *hold) take(requests, bytes int64) error {
	n, p := amount(requests, bytes), h.places
	h.amount += n
	taken, webhook, client := p.taken.v.Add(n), h.webhook.v.Add(n), h.client.v.Add(n)
	var err error
	switch {
	case !p.all.allows(taken):
		err = errOverloaded
	case h.proven && p.half.allows(taken):
	case !p.share.allows(client):
		err = errAddressShare
	case !p.share.allows(webhook):
		err = errWebhookShare
	}
	if err != nil {
		h.give(n)
	}
	return err
}

func (h *hold) give(n int64) {
	h.amount -= n
	h.places.taken.v.Add(-n)
	h.webhook.v.Add(-n)
	h.client.v.Add(-n)
}

// release gives all back.
func (h *hold) release() { h.give(h.amount) }
