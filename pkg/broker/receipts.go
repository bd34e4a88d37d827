package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// An ingress asks any applier what became of a delivery, with a message that is stored
// nowhere.

const (
	receiptsSubjectPrefix = "coinhook.receipts."
	receiptsQueue         = "appliers"

	// receiptWithin is how long an ingress waits for an applier.
	receiptWithin = 2 * time.Second
	// receiptsAtOnce bounds what receipts take of an applier and of PostgreSQL.
	receiptsAtOnce = 2
	// receiptsWaiting is how many questions may wait in an applier. More are answered at
	// once: ask again later.
	receiptsWaiting = 64

	// receiptHeader tells what an answer without a receipt means.
	receiptHeader  = "Coinhook-Receipt"
	receiptUnknown = "unknown" // the webhook has no such delivery
	receiptLater   = "later"   // nobody can say now
)

var (
	// ErrNoReceipt: the webhook has no such delivery.
	ErrNoReceipt = errors.New("the webhook has no such delivery")
	// errReceiptLater: the appliers are there, and cannot say.
	errReceiptLater = errors.New("the appliers cannot say now what became of the delivery")
)

// Receipts asks the appliers.
type Receipts struct{ conn *Conn }

// NewReceipts returns what an ingress asks with. It needs nothing of the broker yet.
func NewReceipts(c *Conn) *Receipts { return &Receipts{conn: c} }

// Receipt returns what an applier says of a webhook's delivery, as JSON. found is false
// where the webhook has no such delivery.
func (r *Receipts) Receipt(ctx context.Context, webhookID string, id delivery.ID) (receipt []byte, found bool, err error) {
	if !r.conn.Connected() {
		return nil, false, ErrNotConnected
	}
	ctx, cancel := context.WithTimeout(ctx, receiptWithin)
	defer cancel()
	msg, err := r.conn.nc.RequestWithContext(ctx, receiptsSubjectPrefix+webhookID, id[:])
	if err != nil {
		return nil, false, fmt.Errorf("ask an applier for a receipt: %w", err)
	}
	switch msg.Header.Get(receiptHeader) {
	case "":
		if !json.Valid(msg.Data) {
			return nil, false, errReceiptLater
		}
		return msg.Data, true, nil
	case receiptUnknown:
		return nil, false, nil
	}
	return nil, false, errReceiptLater
}

// AnswerReceipt returns the receipt of a webhook's delivery as JSON, or ErrNoReceipt.
type AnswerReceipt func(ctx context.Context, webhookID string, id delivery.ID) ([]byte, error)

// ServeReceipts answers ingresses until ctx is done. Each question goes to one applier.
func (c *Conn) ServeReceipts(ctx context.Context, answer AnswerReceipt) error {
	questions := make(chan *nats.Msg, receiptsWaiting)
	sub, err := c.nc.QueueSubscribe(receiptsSubjectPrefix+"*", receiptsQueue, func(msg *nats.Msg) {
		select {
		case questions <- msg:
		default:
			respond(msg, nil, errReceiptLater)
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to questions for receipts: %w", err)
	}
	defer sub.Unsubscribe() // the connection ends next
	var workers sync.WaitGroup
	for range receiptsAtOnce {
		workers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case msg := <-questions:
					receipt, err := askReceipt(ctx, msg, answer)
					respond(msg, receipt, err)
				}
			}
		})
	}
	workers.Wait()
	return nil
}

func askReceipt(ctx context.Context, msg *nats.Msg, answer AnswerReceipt) ([]byte, error) {
	webhookID := msg.Subject[len(receiptsSubjectPrefix):]
	if len(msg.Data) != len(delivery.ID{}) || !webhook.IsID(webhookID) {
		return nil, ErrNoReceipt
	}
	ctx, cancel := context.WithTimeout(ctx, receiptWithin)
	defer cancel()
	return answer(ctx, webhookID, delivery.ID(msg.Data))
}

func respond(msg *nats.Msg, receipt []byte, err error) {
	reply := nats.NewMsg(msg.Reply)
	switch {
	case err == nil:
		reply.Data = receipt
	case errors.Is(err, ErrNoReceipt):
		reply.Header.Set(receiptHeader, receiptUnknown)
	default:
		reply.Header.Set(receiptHeader, receiptLater)
	}
	msg.RespondMsg(reply) // the ingress answers without it
}
