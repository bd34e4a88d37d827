package ingress

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Told is the status of a request for a receipt that was answered.
const Told = "receipt"

// ReceiptBook knows the outcomes of deliveries. The receipt is JSON; found is false
// where the webhook has no such delivery.
type ReceiptBook interface {
	Receipt(ctx context.Context, webhookID string, id delivery.ID) (receipt []byte, found bool, err error)
}

// NoDelivery answers for a delivery that the webhook does not have.
func NoDelivery() *Error {
	return &Error{Code: DeliveryNotFound, Detail: "This webhook has no such delivery, or gives no receipts."}
}

// GivesReceipts reports whether senders of a webhook can ask for receipts. They cannot
// if only a signature protects it: a request for a receipt has nothing to sign.
func GivesReceipts(w *webhook.Webhook) bool {
	return w.Auth.Signature == nil || w.Auth.APIKey || w.Auth.Basic != nil
}

// AuthenticateReceipt makes the checks of Authenticate that a request for a receipt can
// pass: those of the webhook, the address and the credentials.
func (r *Receiver) AuthenticateReceipt(head Head) error {
	w, err := r.lookup(head)
	if err != nil {
		return err
	}
	if !GivesReceipts(w) {
		return NoDelivery()
	}
	return r.checkCredentials(w, head.Header)
}

// TellReceipt returns the receipt of a delivery as JSON.
func (r *Receiver) TellReceipt(ctx context.Context, webhookID string, id delivery.ID) ([]byte, error) {
	if r.Receipts == nil {
		return nil, NoDelivery()
	}
	receipt, found, err := r.Receipts.Receipt(ctx, webhookID, id)
	switch {
	case err != nil:
		return nil, &Error{
			Code: NotAccepted, Detail: "The state of the delivery is not known at the moment. Ask again later.",
			Err: fmt.Errorf("receipt of delivery %s: %w", id, err),
		}
	case !found:
		return nil, NoDelivery()
	}
	return receipt, nil
}
