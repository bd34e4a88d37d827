// Package history is what an admin sees of deliveries: those with an outcome
// from the database, and the pending ones from the stream.
package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

var (
	// ErrNotFound: neither the database nor the stream has the delivery.
	ErrNotFound = errors.New("no such delivery")
	// ErrDatabase: only the database has the answer, and it is down.
	ErrDatabase = errors.New("PostgreSQL does not return the outcomes")
)

// databaseAway is nil where nothing failed.
func databaseAway(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrDatabase, err)
}

// Definitions reads webhooks.
type Definitions interface {
	Get(ctx context.Context, id string) (broker.Saved, error)
}

// History reads the history of deliveries.
type History struct {
	store       *postgres.Store
	stream      *broker.Stream
	definitions Definitions
	limit       time.Duration
	// search is how many messages of the backlog are read to find what is asked for.
	search int
	// late is how long after a delivery was received its message may be stored.
	late time.Duration
}

// IsAway reports whether an error says that the broker or the database is down.
func IsAway(err error) bool { return isDatabase(err) || broker.IsAway(err) }

func isDatabase(err error) bool {
	return errors.Is(err, ErrDatabase) || errors.Is(err, applier.ErrSilent)
}

// NameAway has an error that the broker does not answer say so, where only a time has
// passed. Errors of the database do.
func NameAway(err error) error {
	if isDatabase(err) {
		return err
	}
	return broker.NameAway(err)
}

// searchAtMost takes some seconds, and is done while somebody waits for the answer.
const searchAtMost = 20_000

// storedWithin is longer than a sender waits for its answer.
const storedWithin = 30 * time.Second

// New returns a history. Lists begin with deliveries that have been pending for
// longer than the limit.
func New(store *postgres.Store, stream *broker.Stream, definitions Definitions, limit time.Duration) *History {
	return &History{store: store, stream: stream, definitions: definitions, limit: limit, search: searchAtMost, late: storedWithin}
}

// SearchAtMost limits how many messages of the stream lists and searches read.
func (h *History) SearchAtMost(messages int) *History {
	h.search = messages
	return h
}

// Filter narrows a list; zero values do not. Before and After are for outcomes: a page has
// a Place.
type Filter = postgres.OutcomeFilter

// pageSize is how many rows one query brings.
const pageSize = 1000

// Listing is a list of deliveries.
type Listing struct {
	Deliveries []admin.Delivery
	// CutShort is set when the backlog is so long that some of it was not read: there
	// may be more pending deliveries that the filter lets through.
	CutShort bool
	// Unchecked is why the database could not say which pending ones are settled.
	Unchecked error
}

// List returns deliveries: first those in the stream that have been pending for too
// long, the oldest first, then all others, newest first. Only the
// filter limits it. Deliveries in the stream can be listed without the database.
func (h *History) List(ctx context.Context, f Filter) (Listing, error) {
	all, list, err := h.gather(ctx, f, Place{}, func(b *backlog) ([]admin.Delivery, error) {
		overdue, rest, err := b.pending(ctx, f)
		return append(overdue, rest...), err
	})
	if err != nil {
		return Listing{}, err
	}
	slices.SortStableFunc(all, func(a, b admin.Delivery) int {
		switch isFirst := a.IsQueuedTooLong(); {
		case isFirst != b.IsQueuedTooLong():
			return map[bool]int{true: -1, false: 1}[isFirst]
		case isFirst:
			return 0 // as they came
		}
		return bytes.Compare(b.ID[:], a.ID[:])
	})
	list.Deliveries = all[:min(len(all), f.Limit)]
	return list, nil
}

// gather returns what the filter lets through from a place on, without an order of the
// whole: what queued returns of the stream, then what is parked, then outcomes. A delivery
// goes from the stream to a parked row to its outcome, or leaves that row out. It is looked
// for in this order: so a delivery that goes on meanwhile is found later, not nowhere.
func (h *History) gather(ctx context.Context, f Filter, at Place, queued func(*backlog) ([]admin.Delivery, error)) (all []admin.Delivery, list Listing, err error) {
	if mayBeQueued(f) {
		b, err := h.backlog(ctx)
		if err != nil {
			return nil, list, err
		}
		if all, err = queued(b); err != nil {
			return nil, list, err
		}
		list.Unchecked, list.CutShort = b.unchecked, b.cutShort
	}
	if mayBeParked(f) && list.Unchecked == nil {
		parked, err := h.parked(ctx, f, at)
		if err != nil && ctx.Err() != nil {
			return nil, list, err
		}
		list.Unchecked = err
		all = append(without(all, parked), parked...)
	}
	if f.Status != delivery.Pending {
		outcomes, err := h.outcomes(ctx, f, at)
		if err != nil {
			return nil, list, fmt.Errorf("%w: %w", ErrDatabase, err)
		}
		all = append(without(all, outcomes), outcomes...)
	}
	return all, list, nil
}

// without returns the deliveries that were not found later once more.
func without(all, later []admin.Delivery) []admin.Delivery {
	found := make(map[delivery.ID]bool, len(later))
	for _, d := range later {
		found[d.ID] = true
	}
	return slices.DeleteFunc(all, func(d admin.Delivery) bool { return found[d.ID] })
}

// mayBeQueued: of a delivery in the stream neither user nor reason is known.
func mayBeQueued(f Filter) bool { return mayBeParked(f) && f.UserID == (delivery.ID{}) }

func (h *History) outcomes(ctx context.Context, f Filter, at Place) ([]admin.Delivery, error) {
	all, err := inPages(f, at, func(f Filter) (page []admin.Delivery, err error) {
		outcomes, err := h.store.ListOutcomes(ctx, f)
		for _, o := range outcomes {
			page = append(page, o.Delivery)
		}
		return page, err
	})
	if err != nil {
		return nil, err
	}
	return all, h.addWaitingReplays(ctx, all)
}

// inPages returns as many rows as the filter's limit says, from a place on. A query brings
// those that its filter lets through.
func inPages(f Filter, at Place, query func(Filter) ([]admin.Delivery, error)) (all []admin.Delivery, err error) {
	limit := f.Limit
	f.Before, f.After = at.Before, at.After
	for len(all) < limit {
		f.Limit = min(pageSize, limit-len(all))
		page, err := query(f)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < f.Limit {
			break
		}
		if last := page[len(page)-1].ID; at.After != (delivery.ID{}) {
			f.After = last
		} else {
			f.Before = last
		}
	}
	return all, nil
}
