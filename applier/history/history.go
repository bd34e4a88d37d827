// Package history is what an admin sees of deliveries: the outcomes from the
// database and, as pending, what lies in the stream without an outcome.
package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ErrNotFound: neither the database nor the stream has the delivery.
var ErrNotFound = errors.New("no such delivery")

// Delivery is one line of the history, in the form that programs read.
type Delivery struct {
	ID          delivery.ID       `json:"id"`
	WebhookID   string            `json:"webhook_id"`
	Webhook     string            `json:"webhook"`
	Community   string            `json:"community"`
	Status      delivery.Status   `json:"status"`
	Outcome     *delivery.Outcome `json:"outcome"`
	Reason      *delivery.Reason  `json:"reason"`
	Detail      *string           `json:"detail"`
	User        *User             `json:"user"`
	Changes     []Change          `json:"changes"`
	Fields      []Field           `json:"fields"`
	ReceivedAt  time.Time         `json:"received_at"`
	FinishedAt  *time.Time        `json:"finished_at"`
	Attempts    int               `json:"attempts"`
	Replays     int               `json:"replays"`
	DuplicateOf *delivery.ID      `json:"duplicate_of"`
	Reverted    *Revert           `json:"reverted"`
}

// Revert says by whom and when the delivery's effect was taken back.
type Revert struct {
	By   string    `json:"by"`
	Note *string   `json:"note"`
	At   time.Time `json:"at"`
}

// User names a user.
type User struct {
	ID       delivery.ID `json:"id"`
	Email    string      `json:"email"`
	Username string      `json:"username"`
}

// MarshalJSON writes null for the one that the user does not have.
func (u User) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID       delivery.ID `json:"id"`
		Email    *string     `json:"email"`
		Username *string     `json:"username"`
	}{u.ID, orNil(u.Email), orNil(u.Username)})
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Change is one change of a balance. Amounts are exact text.
type Change struct {
	Currency string `json:"currency"`
	Operator string `json:"operator"`
	Amount   string `json:"amount"`
	Balance  string `json:"balance"`
}

// Field is one custom field that was set.
type Field struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// Full is a delivery with what the sender sent.
type Full struct {
	Delivery
	Version int               `json:"version,omitempty"`
	Headers []delivery.Header `json:"headers"`
	// Payload is nil once the stream has let go of it.
	Payload []byte `json:"-"`
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
}

// New returns a history.
func New(store *postgres.Store, stream *broker.Stream, definitions Definitions) *History {
	return &History{store: store, stream: stream, definitions: definitions}
}

// Filter narrows a list; zero values do not.
type Filter struct {
	Community string
	WebhookID string
	UserID    delivery.ID
	Status    delivery.Status
	Reason    delivery.Reason
	Since     time.Time
	Limit     int
}

// pageSize is how many rows one query brings.
const pageSize = 1000

// List returns deliveries, newest first. It has no limit but the filter's own.
func (h *History) List(ctx context.Context, f Filter) ([]Delivery, error) {
	var all []Delivery
	// The stream is read first: what gets its outcome meanwhile is then found in
	// the database, not nowhere.
	if h.mayBePending(f) {
		pending, err := h.pending(ctx, f)
		if err != nil {
			return nil, err
		}
		all = pending
	}
	if f.Status != delivery.Pending {
		outcomes, err := h.outcomes(ctx, f)
		if err != nil {
			return nil, err
		}
		settled := make(map[delivery.ID]bool, len(outcomes))
		for _, o := range outcomes {
			settled[o.ID] = true
		}
		all = slices.DeleteFunc(all, func(d Delivery) bool { return settled[d.ID] })
		all = append(all, outcomes...)
	}
	slices.SortFunc(all, func(a, b Delivery) int { return cmp.Compare(string(b.ID[:]), string(a.ID[:])) })
	return all[:min(len(all), f.Limit)], nil
}

// mayBePending: of a pending delivery neither user nor reason is known.
func (h *History) mayBePending(f Filter) bool {
	return (f.Status == "" || f.Status == delivery.Pending) && f.Reason == "" && f.UserID == (delivery.ID{})
}

func (h *History) outcomes(ctx context.Context, f Filter) ([]Delivery, error) {
	var all []Delivery
	query := postgres.OutcomeFilter{
		Community: f.Community, WebhookID: f.WebhookID, UserID: f.UserID,
		Status: f.Status, Reason: f.Reason, Since: f.Since,
	}
	for len(all) < f.Limit {
		query.Limit = min(pageSize, f.Limit-len(all))
		page, err := h.store.ListOutcomes(ctx, query)
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			all = append(all, h.fromOutcome(o))
		}
		if len(page) < query.Limit {
			break
		}
		query.Before = page[len(page)-1].ID
	}
	return all, nil
}

// pending walks back from the stream's end to the appliers' ack floor.
func (h *History) pending(ctx context.Context, f Filter) ([]Delivery, error) {
	var all []Delivery
	named := h.naming()
	err := h.walkBack(ctx, func(page []delivery.Delivery) (more bool, err error) {
		ids := make([]delivery.ID, len(page))
		for i := range page {
			ids[i] = page[i].ID
		}
		settled, err := h.store.HaveOutcomes(ctx, ids)
		if err != nil {
			return false, err
		}
		for i := range page {
			d := &page[i]
			if settled[d.ID] || f.WebhookID != "" && d.WebhookID != f.WebhookID || d.ReceivedAt.Before(f.Since) {
				continue
			}
			p, err := named(ctx, d)
			if err != nil {
				return false, err
			}
			if f.Community == "" || p.Community == f.Community {
				all = append(all, p)
			}
		}
		return len(all) < f.Limit, nil
	})
	return all, err
}

// walkBack hands out the backlog page by page, newest first, until f has
// enough.
func (h *History) walkBack(ctx context.Context, f func([]delivery.Delivery) (more bool, err error)) error {
	backlog, err := h.stream.Backlog(ctx)
	if err != nil {
		return err
	}
	var page []delivery.Delivery
	for seq := backlog.Last; seq >= backlog.First && seq > 0; seq-- {
		message, err := h.stream.Deliveries(ctx, seq)
		if err != nil {
			return err
		}
		slices.Reverse(message)
		page = append(page, message...)
		if len(page) < pageSize && seq > backlog.First {
			continue
		}
		more, err := f(page)
		if err != nil || !more {
			return err
		}
		page = page[:0]
	}
	return nil
}

// Show returns one delivery with what the sender sent.
func (h *History) Show(ctx context.Context, id delivery.ID) (Full, error) {
	// As in List: first the stream, then the database.
	var waiting *delivery.Delivery
	outcome, err := h.store.FindOutcome(ctx, id)
	if errors.Is(err, postgres.ErrOutcomeNotFound) {
		if waiting, err = h.findPending(ctx, id); err != nil {
			return Full{}, err
		}
		outcome, err = h.store.FindOutcome(ctx, id)
	}
	switch {
	case errors.Is(err, postgres.ErrOutcomeNotFound) && waiting == nil:
		return Full{}, ErrNotFound
	case errors.Is(err, postgres.ErrOutcomeNotFound):
		d, err := h.naming()(ctx, waiting)
		return Full{Delivery: d, Headers: waiting.Headers, Payload: waiting.Body}, err
	case err != nil:
		return Full{}, err
	}
	full := Full{Delivery: h.fromOutcome(outcome), Version: outcome.Version}
	headers, payload, ok, err := h.store.DeadLetter(ctx, id)
	if err != nil {
		return Full{}, err
	}
	if !ok {
		headers, payload, err = h.fromMessage(ctx, outcome)
	}
	full.Headers, full.Payload = headers, payload
	return full, err
}

func (h *History) findPending(ctx context.Context, id delivery.ID) (found *delivery.Delivery, err error) {
	err = h.walkBack(ctx, func(page []delivery.Delivery) (bool, error) {
		for i := range page {
			if page[i].ID == id {
				d := page[i]
				found = &d
				return false, nil
			}
		}
		return true, nil
	})
	return found, err
}

// fromMessage reads what the sender sent from the stream, as long as it has it.
func (h *History) fromMessage(ctx context.Context, o postgres.Outcome) ([]delivery.Header, []byte, error) {
	message, err := h.stream.Deliveries(ctx, o.Position.Sequence)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range message {
		if d.ID == o.ID { // sequences are used again after a stream is restored
			return d.Headers, d.Body, nil
		}
	}
	return nil, nil, nil
}

func (h *History) fromOutcome(o postgres.Outcome) Delivery {
	d := Delivery{
		ID: o.ID, WebhookID: o.WebhookID, Webhook: o.Webhook, Community: o.Community,
		Status: o.Status, Changes: []Change{}, Fields: []Field{},
		ReceivedAt: o.ReceivedAt.UTC(), FinishedAt: new(o.FinishedAt.UTC()), Attempts: o.Attempts,
	}
	if o.Status == delivery.Success {
		d.Outcome = &o.Outcome
	} else {
		d.Reason, d.Detail = &o.Reason, &o.Detail
	}
	if o.User != nil {
		d.User = &User{ID: o.User.ID, Email: o.User.Email, Username: o.User.Username}
	}
	if o.DuplicateOf != (delivery.ID{}) {
		d.DuplicateOf = &o.DuplicateOf
	}
	if r := o.Reverted; r != nil {
		d.Reverted = &Revert{By: r.By, Note: orNil(r.Note), At: r.At.UTC()}
	}
	for _, l := range o.Changes {
		c := applier.Currency{Code: l.Currency, Scale: l.Scale}
		d.Changes = append(d.Changes, Change{
			Currency: l.Currency, Operator: string(l.Operator), Amount: c.Format(l.Amount), Balance: c.Format(l.Balance),
		})
	}
	for _, f := range o.Fields {
		d.Fields = append(d.Fields, Field{Field: f.Field, Value: f.Value})
	}
	return d
}

// naming returns a function that makes a line of a pending delivery. It reads
// each webhook once.
func (h *History) naming() func(context.Context, *delivery.Delivery) (Delivery, error) {
	webhooks := map[string]broker.Saved{}
	return func(ctx context.Context, d *delivery.Delivery) (Delivery, error) {
		saved, ok := webhooks[d.WebhookID]
		if !ok {
			var err error
			saved, err = h.definitions.Get(ctx, d.WebhookID)
			if err != nil && !errors.Is(err, broker.ErrWebhookNotFound) {
				return Delivery{}, fmt.Errorf("name the webhook of a pending delivery: %w", err)
			}
			webhooks[d.WebhookID] = saved
		}
		return Delivery{
			ID: d.ID, WebhookID: d.WebhookID, Webhook: saved.Name, Community: saved.Community,
			Status: delivery.Pending, Changes: []Change{}, Fields: []Field{}, ReceivedAt: d.ReceivedAt.UTC(),
		}, nil
	}
}
