package trial

import (
	"context"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	// A backtest reads at least minMessages messages of the stream, and messagesEach for
	// each delivery that it wants. Rarer deliveries are not worth the time.
	minMessages  = 10_000
	messagesEach = 10

	// pageDeliveries and pageBytes bound what is in memory at a time.
	pageDeliveries = 256
	pageBytes      = 4 << 20

	// tellEvery is how many messages are read between two reports of progress.
	tellEvery = 256
)

// found has the positions of the deliveries in the order of execution. Dead letters that
// the stream lacks come first, because they are older.
type found struct {
	letters  []letter
	places   []place
	messages int
	// gaveUp is set if the part of the stream that was not read may have more.
	gaveUp bool
}

// place is a delivery's in the stream.
type place struct {
	id delivery.ID
	delivery.Position
}

// letter is a dead letter that the stream lacks.
type letter struct {
	id         delivery.ID
	receivedAt time.Time
	bytes      int
}

func (f *found) count() int { return len(f.letters) + len(f.places) }

// find reads backwards from the stream's end. It keeps no bodies, because they may be
// large and many.
func (b *Backtest) find(ctx context.Context, r Request) (*found, error) {
	extent, err := b.stream.Extent(ctx)
	if err != nil {
		return nil, err
	}
	f, seen := &found{}, map[delivery.ID]int{}
	bound := max(messagesEach*r.Last, minMessages)
	seq := extent.Last
	for ; seq > 0 && seq >= extent.First && len(f.places) < r.Last && f.messages < bound; seq-- {
		message, err := b.stream.Deliveries(ctx, seq)
		if err != nil {
			return nil, err
		}
		f.take(message, r.Webhook.ID, r.Last, seen)
		if f.messages++; f.messages%tellEvery == 0 {
			r.tell(Progress{Messages: f.messages, Found: len(f.places)})
		}
	}
	slices.SortFunc(f.places, func(p, q place) int { return p.Compare(q.Position) })
	if len(f.places) == r.Last {
		return f, nil
	}
	if f.gaveUp = seq > 0 && seq >= extent.First; f.gaveUp {
		return f, nil
	}
	return f, b.findLetters(ctx, r, f, seen)
}

// take adds the webhook's deliveries of a message, the newest first. A replay does not
// count. Of a delivery that was stored twice, the first copy is executed.
func (f *found) take(message []delivery.Delivery, webhookID string, last int, seen map[delivery.ID]int) {
	for i := len(message) - 1; i >= 0; i-- {
		d := &message[i]
		if d.WebhookID != webhookID || d.Replay != nil || d.Newer {
			continue
		}
		if at, twice := seen[d.ID]; twice {
			f.places[at].Position = d.Position
			continue
		}
		if len(f.places) < last {
			seen[d.ID] = len(f.places)
			f.places = append(f.places, place{d.ID, d.Position})
		}
	}
}

// findLetters adds dead letters whose messages have left the stream.
func (b *Backtest) findLetters(ctx context.Context, r Request, f *found, seen map[delivery.ID]int) error {
	for l, err := range deadletter.New(b.store).All(ctx, deadletter.Filter{WebhookID: r.Webhook.ID}) {
		if err != nil {
			return err
		}
		if _, inStream := seen[l.ID]; !inStream {
			f.letters = append(f.letters, letter{l.ID, l.ReceivedAt, l.PayloadBytes})
		}
		if f.count() == r.Last {
			break
		}
	}
	slices.Reverse(f.letters)
	return nil
}
