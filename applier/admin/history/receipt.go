package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Receipt is what the sender may know of its delivery: nothing of the user, of amounts
// or of balances.
type Receipt struct {
	ID         delivery.ID       `json:"id"`
	Status     delivery.Status   `json:"status"`
	Outcome    *delivery.Outcome `json:"outcome"`
	Reason     *delivery.Reason  `json:"reason"`
	Detail     *string           `json:"detail"`
	ReceivedAt time.Time         `json:"received_at"`
	FinishedAt *time.Time        `json:"finished_at"`
}

// Receipts answers senders.
type Receipts struct {
	store *postgres.Store
	open  func(context.Context) (*broker.Stream, error)
	// search is how many messages of the backlog are read to find a delivery.
	search int
}

// receiptSearch takes a fraction of a second.
const receiptSearch = 1000

// NewReceipts returns receipts. The stream is opened for each that needs it, because
// the broker may be down when the program starts.
func NewReceipts(store *postgres.Store, open func(context.Context) (*broker.Stream, error)) *Receipts {
	return &Receipts{store: store, open: open, search: receiptSearch}
}

// errNotRead: the delivery may be among the messages that were not read.
var errNotRead = errors.New("the backlog is too long to find the delivery in it")

// JSON is the receipt of a webhook's delivery, or broker.ErrNoReceipt.
func (r *Receipts) JSON(ctx context.Context, webhookID string, id delivery.ID) ([]byte, error) {
	receipt, err := r.Of(ctx, webhookID, id)
	if err != nil {
		return nil, err
	}
	return json.Marshal(receipt)
}

// Of returns the receipt of a webhook's delivery. The delivery is looked for where it
// goes: in the rows, in the stream, and once more in the rows.
func (r *Receipts) Of(ctx context.Context, webhookID string, id delivery.ID) (Receipt, error) {
	receipt, err := r.fromRows(ctx, webhookID, id)
	if !errors.Is(err, errNoRow) {
		return receipt, err
	}
	w, notRead, err := r.waiting(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	receipt, err = r.fromRows(ctx, webhookID, id)
	switch {
	case !errors.Is(err, errNoRow):
		return receipt, err
	case w != nil && w.WebhookID == webhookID:
		return Receipt{ID: id, Status: delivery.Pending, ReceivedAt: w.ReceivedAt.UTC()}, nil
	case w == nil && notRead > 0:
		return Receipt{}, fmt.Errorf("%w: %d messages were not looked at", errNotRead, notRead)
	}
	return Receipt{}, broker.ErrNoReceipt
}

// errNoRow: the delivery has neither an outcome nor a parked row.
var errNoRow = errors.New("the delivery has no row")

func (r *Receipts) fromRows(ctx context.Context, webhookID string, id delivery.ID) (Receipt, error) {
	o, err := r.store.FindOutcome(ctx, id)
	switch {
	case err == nil && o.WebhookID == webhookID:
		return receiptOf(o), nil
	case err == nil:
		return Receipt{}, broker.ErrNoReceipt
	case !errors.Is(err, postgres.ErrOutcomeNotFound):
		return Receipt{}, err
	}
	p, _, ok, err := r.store.FindParked(ctx, id)
	switch {
	case err != nil:
		return Receipt{}, err
	case !ok:
		return Receipt{}, errNoRow
	case p.WebhookID != webhookID:
		return Receipt{}, broker.ErrNoReceipt
	}
	return Receipt{ID: id, Status: delivery.Pending, ReceivedAt: p.ReceivedAt}, nil
}

// waiting finds a delivery in the backlog.
func (r *Receipts) waiting(ctx context.Context, id delivery.ID) (w *waiting, notRead uint64, err error) {
	stream, err := r.open(ctx)
	if err != nil {
		return nil, 0, err
	}
	pending, err := stream.Pending(ctx)
	if err != nil {
		return nil, 0, err
	}
	h := &History{store: r.store, stream: stream, search: r.search}
	return (&backlog{History: h, Pending: pending}).find(ctx, id)
}

func receiptOf(o postgres.Outcome) Receipt {
	r := Receipt{ID: o.ID, Status: o.Status, ReceivedAt: o.ReceivedAt, FinishedAt: o.FinishedAt}
	if o.Status == delivery.Success {
		r.Outcome = o.Outcome
		return r
	}
	r.Reason, r.Detail = o.Reason, new(receiptDetail(o))
	return r
}

// ownDetail has the reasons whose detail is only about the request, which the sender
// already has.
var ownDetail = map[delivery.Reason]bool{
	delivery.InvalidJSON: true, delivery.InvalidPayload: true, delivery.DecryptionFailed: true,
	delivery.MissingUserIdentifier: true, delivery.MissingField: true, delivery.WebhookDeleted: true, delivery.MalformedDelivery: true,
}

// otherDetail stands for a detail that may name a user, an amount, a balance, or what is
// inside.
var otherDetail = map[delivery.Reason]string{
	delivery.InvalidUserIdentifier: "The value that names the user is not one that can.",
	delivery.UserNotFound:          "The user is not known.",
	delivery.InvalidAmount:         "The value is not an amount that can be taken.",
	delivery.NegativeAmount:        "The amount is negative.",
	delivery.AmountOutOfRange:      "The amount is out of range.",
	delivery.InsufficientBalance:   "The user's balance is too low.",
	delivery.BalanceLimitExceeded:  "The user's balance has no room for it.",
	delivery.InvalidFieldValue:     "The value is not one that the field takes.",
	delivery.IdempotencyConflict:   "An earlier delivery had the same idempotency key and another body.",
}

// receiptDetail is a sentence for the sender.
func receiptDetail(o postgres.Outcome) string {
	if ownDetail[*o.Reason] {
		return *o.Detail
	}
	text, ok := otherDetail[*o.Reason]
	if !ok {
		text = "The delivery could not be executed: ask the receiver's admin."
	}
	if o.Path != "" {
		text = fmt.Sprintf("%s: %s", o.Path, text)
	}
	return text
}
