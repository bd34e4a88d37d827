package trial

import (
	"context"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// MaxLast is the most deliveries that one backtest tries.
const MaxLast = 100_000

// Stream has what was accepted.
type Stream interface {
	Extent(ctx context.Context) (broker.Extent, error)
	Deliveries(ctx context.Context, sequence uint64) ([]delivery.Delivery, error)
}

// Backtest tries definitions.
type Backtest struct {
	store       *postgres.Store
	stream      Stream
	definitions applier.Definitions
	evaluate    applier.Evaluate
}

// NewBacktest returns a backtest that decides as an applier with these parts does.
func NewBacktest(store *postgres.Store, stream Stream, definitions applier.Definitions, evaluate applier.Evaluate) *Backtest {
	return &Backtest{store: store, stream: stream, definitions: definitions, evaluate: evaluate}
}

// Against says what a new definition is compared with.
type Against string

const (
	Current  Against = "current"  // the definition in force
	Original Against = "original" // for each delivery the version that decided it
)

// Request says what is tried on what.
type Request struct {
	Webhook broker.Saved
	// Definition is tried as if it were the webhook's next version.
	Definition webhook.Definition
	Against    Against
	// Last is how many of the newest deliveries are asked for, 1 to MaxLast.
	Last int
	// Keep bounds each list of the result; 0 is no bound.
	Keep int
	// Progress is called often. It may be nil.
	Progress func(Progress)
}

// Progress is how far a backtest is: it looks for deliveries first, and then
// tries them.
type Progress struct {
	Messages, Found, Tried int
}

// Run tries the definition.
func (b *Backtest) Run(ctx context.Context, r Request) (*Comparison, error) {
	after, err := webhook.Compile(next(r.Webhook.Record, r.Definition), r.Webhook.Revision+1)
	if err != nil {
		return nil, err
	}
	found, err := b.find(ctx, r)
	if err != nil {
		return nil, err
	}
	c := newCollector(r, found)
	current := &definitions{source: b.definitions, webhook: inForce(r.Webhook)}
	before := newSide(b.store, current, b.evaluate)
	with := newSide(b.store, &definitions{webhook: after}, b.evaluate)
	err = b.pages(ctx, r.Webhook.ID, found, func(page []delivery.Delivery) error {
		old, err := b.decided(ctx, r.Against, before, page)
		if err != nil {
			return err
		}
		now, err := with.run(ctx, page)
		if err != nil {
			return err
		}
		for i := range page {
			c.add(page[i].ID, old[i], now[i])
		}
		r.tell(Progress{Messages: found.messages, Found: found.count(), Tried: c.result.Deliveries})
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.result.VersionsGone = current.gone
	return c.finish(ctx, b.store)
}

// next is what the record would be once the definition is applied.
func next(rec webhook.Record, def webhook.Definition) webhook.Record {
	rec.Version++
	rec.Definition = def
	return rec
}

// inForce is the saved webhook as the appliers use it: without a usable mapping
// its deliveries fail.
func inForce(saved broker.Saved) *webhook.Webhook {
	w, err := webhook.Compile(saved.Record, saved.Revision)
	if err != nil {
		return &webhook.Webhook{Record: saved.Record, Revision: saved.Revision}
	}
	return w
}

// decided runs a page by what the new definition is compared with.
func (b *Backtest) decided(ctx context.Context, against Against, s *side, page []delivery.Delivery) ([]answer, error) {
	if against != Original {
		return s.run(ctx, page)
	}
	ids := make([]delivery.ID, len(page))
	for i := range page {
		ids[i] = page[i].ID
	}
	versions, err := b.store.DecidedBy(ctx, ids)
	if err != nil {
		return nil, err
	}
	pinned := make([]delivery.Delivery, len(page))
	for i, d := range page {
		if version := versions[d.ID]; version != 0 {
			// As a replay by that version: an applier pins a version for those only.
			d.Replay = &delivery.Replay{ID: d.ID, Version: version}
		}
		pinned[i] = d
	}
	return s.run(ctx, pinned)
}

func (r Request) tell(p Progress) {
	if r.Progress != nil {
		r.Progress(p)
	}
}

// definitions answers with the one webhook that is tried.
type definitions struct {
	webhook *webhook.Webhook
	source  applier.Definitions // has earlier versions; nil where none is asked for
	gone    int
}

func (d *definitions) At(context.Context, string, uint64) (*webhook.Webhook, error) {
	return d.webhook, nil
}

// TookClear is always true: a backtest tries the mapping of deliveries that were accepted.
func (d *definitions) TookClear(context.Context, string, uint64, time.Time) (bool, error) {
	return true, nil
}

// Version returns the present webhook if a version is no longer kept.
func (d *definitions) Version(ctx context.Context, id string, version int) (*webhook.Webhook, error) {
	w, err := d.source.Version(ctx, id, version)
	if err != nil {
		return nil, fmt.Errorf("find what decided: %w", err)
	}
	if w == nil {
		d.gone++
		return d.webhook, nil
	}
	return w, nil
}
