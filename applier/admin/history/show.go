package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Full is a delivery with what the sender sent and all that was done with it.
type Full struct {
	admin.Delivery
	Path    *string           `json:"path"`
	Version int               `json:"version,omitempty"`
	Headers []delivery.Header `json:"headers"`
	// Method is empty for POST. Query may be no UTF-8.
	Method     string      `json:"method,omitempty"`
	Query      string      `json:"query,omitempty"`
	Executions []Execution `json:"executions"`
	Discards   []Discard   `json:"discards"`
	// Payload is what the sender sent; nil after the stream removed the message.
	// Edited is the payload that an admin ran instead; nil if nobody edited it.
	Payload, Edited []byte `json:"-"`
	// Unchecked is why the database could not say whether a pending one is settled.
	Unchecked error `json:"-"`
}

// Shown is the delivery as people and programs see it: the key of an adjustment is the one
// that its admin gave.
func (f Full) Shown() Full {
	if f.WebhookID == applier.AdjustmentID {
		f.Payload, f.Edited = applier.ShowAdjustment(f.Community, f.Payload), applier.ShowAdjustment(f.Community, f.Edited)
	}
	return f
}

// Discard is a dead letter that was given up.
type Discard struct {
	By   string    `json:"discarded_by"`
	Note *string   `json:"note"`
	At   time.Time `json:"at"`
}

// Show returns one delivery with what the sender sent. A pending one is shown
// without the database, too.
func (h *History) Show(ctx context.Context, id delivery.ID) (Full, error) {
	outcome, err := h.store.FindOutcome(ctx, id)
	if err == nil {
		return h.showOutcome(ctx, outcome)
	}
	if parked, err := h.showParked(ctx, id); err == nil && parked != nil {
		return *parked, nil
	}
	// As in List: first the stream, then the database.
	b, err := h.backlog(ctx)
	if err != nil {
		return Full{}, err
	}
	w, notRead, err := b.find(ctx, id)
	if err != nil {
		return Full{}, err
	}
	parked, err := h.showParked(ctx, id)
	if err == nil && parked != nil {
		return *parked, nil
	}
	outcome, err = h.store.FindOutcome(ctx, id)
	notFound := errors.Is(err, postgres.ErrOutcomeNotFound)
	switch {
	case err == nil:
		return h.showOutcome(ctx, outcome)
	case w == nil && notFound && notRead > 0:
		return Full{}, fmt.Errorf("%w: it has no outcome, and is not among the messages that were stored around its time; %d messages that wait were not looked at",
			ErrNotFound, notRead)
	case w == nil && notFound:
		return Full{}, ErrNotFound
	case w == nil:
		return Full{}, err
	}
	full := Full{Headers: w.Headers, Method: w.Method, Query: w.Query, Payload: bodied(w.Delivery).Body, Executions: []Execution{}, Discards: []Discard{}}
	if !notFound {
		full.Unchecked = err
	}
	full.Delivery, err = b.line(ctx, *w)
	if err == nil && !admin.Sees(ctx, full.Community) {
		return Full{}, ErrNotFound
	}
	return full, err
}

func (h *History) showOutcome(ctx context.Context, o postgres.Outcome) (Full, error) {
	one := []admin.Delivery{o.Delivery}
	if err := h.addWaitingReplays(ctx, one); err != nil {
		return Full{}, err
	}
	full := Full{Delivery: one[0], Path: admin.OrNil(o.Path), Version: o.Version, Discards: []Discard{}}
	bodies, err := h.store.DeadLetterBodies(ctx, []delivery.ID{o.ID})
	if err != nil {
		return Full{}, err
	}
	if body, ok := bodies[o.ID]; ok {
		full.Headers, full.Payload, full.Edited = body.Headers, body.Payload, body.Edited
		full.Method, full.Query = body.Method, body.Query
	} else {
		d, err := h.fromMessage(ctx, o)
		if err != nil {
			return Full{}, err
		}
		full.Headers, full.Method, full.Query, full.Payload = d.Headers, d.Method, d.Query, d.Body
	}
	executions, err := h.store.Executions(ctx, o.ID)
	if err != nil {
		return Full{}, err
	}
	full.addExecutions(o, executions)
	discards, err := h.store.Discards(ctx, o.ID)
	if err != nil {
		return Full{}, err
	}
	for _, d := range discards {
		full.Discards = append(full.Discards, Discard{By: d.By, Note: admin.OrNil(d.Note), At: d.At.UTC()})
	}
	return full, nil
}

// fromMessage reads what the sender sent from the stream, as long as it has it.
func (h *History) fromMessage(ctx context.Context, o postgres.Outcome) (delivery.Delivery, error) {
	if o.Position.Sequence == 0 { // imported: it is of a stream elsewhere
		return delivery.Delivery{}, nil
	}
	message, err := h.stream.Deliveries(ctx, o.Position.Sequence)
	if err != nil {
		return delivery.Delivery{}, err
	}
	for _, d := range message {
		if d.ID == o.ID { // sequences are used again after a stream is restored
			return bodied(d), nil
		}
	}
	return delivery.Delivery{}, nil
}

// bodied is a delivery whose body is not nil: that of a GET is empty, and is there.
func bodied(d delivery.Delivery) delivery.Delivery {
	if d.Body == nil {
		d.Body = []byte{}
	}
	return d
}
