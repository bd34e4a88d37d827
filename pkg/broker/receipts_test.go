package broker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// An ingress asks an applier, each with its own permissions, and learns what it says.
func TestAnIngressAsksForReceipts(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	server.ConnectSetUp()
	ingress, applier := server.ConnectAs(broker.Ingress), server.ConnectAs(broker.Applier)
	wantConnected(t, ingress)
	wantConnected(t, applier)
	receipts, known, away := broker.NewReceipts(ingress), delivery.NewID(), delivery.NewID()
	if _, found, err := receipts.Receipt(t.Context(), rejecting, known); err == nil || found {
		t.Errorf("without an applier: found %v, %v", found, err)
	}
	running(t, func(ctx context.Context) error {
		return applier.ServeReceipts(ctx, func(_ context.Context, webhookID string, id delivery.ID) ([]byte, error) {
			switch {
			case webhookID == rejecting && id == known:
				return []byte(`{"status":"pending"}`), nil
			case id == away:
				return nil, errors.New("PostgreSQL is away")
			}
			return nil, broker.ErrNoReceipt
		})
	})
	waitUntil(t, "an applier answers", func() bool {
		receipt, found, err := receipts.Receipt(t.Context(), rejecting, known)
		return err == nil && found && string(receipt) == `{"status":"pending"}`
	})
	for _, unknown := range []struct {
		webhook string
		id      delivery.ID
	}{{rejecting, delivery.NewID()}, {"wh_bbbbbbbbbbbbbbbbbbbbbbbbbb", known}, {"x", known}} {
		if _, found, err := receipts.Receipt(t.Context(), unknown.webhook, unknown.id); found || err != nil {
			t.Errorf("%+v: found %v, %v", unknown, found, err)
		}
	}
	if _, found, err := receipts.Receipt(t.Context(), rejecting, away); found || err == nil {
		t.Errorf("PostgreSQL is away: found %v, %v", found, err)
	}
}
