package history_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A delivery has a receipt from the 202 on, wherever it is: in the stream, parked or
// settled. Only its own webhook gets it.
func TestReceiptsFollowADelivery(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	receipts := history.NewReceipts(i.Store, i.Conn.OpenStream)
	want := func(about, webhookID string, id delivery.ID, status delivery.Status) {
		t.Helper()
		r, err := receipts.Of(t.Context(), webhookID, id)
		if err != nil || r.ID != id || r.Status != status || r.ReceivedAt.IsZero() || (r.FinishedAt == nil) != (status == delivery.Pending) {
			t.Errorf("%s: %+v, %v; want it %s", about, r, err, status)
		}
		if _, err := receipts.Of(t.Context(), "wh_other", id); !errors.Is(err, broker.ErrNoReceipt) {
			t.Errorf("%s, of another webhook: %v", about, err)
		}
	}
	settled := i.publish("a", "b")
	i.settle()
	waits := i.publish("c")[0]
	parked := delivery.NewID()
	postgrestest.Park(t, i.DB, postgrestest.Parked{ID: parked, Webhook: "wh_parked", Community: "default", Reason: applier.Paused})
	want("settled", "wh_a", settled[0], delivery.Failed)
	want("in the stream", "wh_c", waits, delivery.Pending)
	want("parked", "wh_parked", parked, delivery.Pending)
	if _, err := receipts.Of(t.Context(), "wh_c", delivery.NewID()); !errors.Is(err, broker.ErrNoReceipt) {
		t.Errorf("an unknown id: %v", err)
	}
	i.settle()
	want("settled later", "wh_c", waits, delivery.Failed)
}

// Looking for a delivery is bounded. What may be in the rest of the backlog is not said
// to be unknown.
func TestReceiptsOfALongBacklogSayNothingWrong(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	early := i.publish("a")[0]
	var unknown delivery.ID
	copy(unknown[:], early[:])
	unknown[15]++
	i.publish("b", "c", "d", "e", "f", "g", "h")
	receipts := history.NewReceipts(i.Store, i.Conn.OpenStream).SearchAtMost(3)
	if r, err := receipts.Of(t.Context(), "wh_a", early); err != nil || r.Status != delivery.Pending {
		t.Errorf("the first of the backlog: %+v, %v", r, err)
	}
	if _, err := receipts.Of(t.Context(), "wh_a", unknown); err == nil || errors.Is(err, broker.ErrNoReceipt) {
		t.Errorf("an id of a part that was not read: %v", err)
	}
}

// A receipt names the reason, and the path where one is at fault. It has no balance, no
// amount and no user, whatever the detail for admins says.
func TestReceiptsShowNoAmounts(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	for _, reason := range delivery.Reasons() {
		id := i.publish("a")[0]
		i.settle()
		const detail = "The balance of 4711 coins of alice@example.com is too low."
		if _, err := i.DB.ExecContext(t.Context(), `UPDATE outcomes SET reason = $1, detail = $2, path = 'order.coins' WHERE delivery_id = $3`, reason, detail, id.String()); err != nil {
			t.Fatal(err)
		}
		text, err := history.NewReceipts(i.Store, i.Conn.OpenStream).JSON(t.Context(), "wh_a", id)
		if err != nil {
			t.Fatal(err)
		}
		speaksOfTheRequest := map[delivery.Reason]bool{
			delivery.InvalidJSON: true, delivery.InvalidPayload: true, delivery.DecryptionFailed: true, delivery.MissingUserIdentifier: true,
			delivery.MissingField: true, delivery.WebhookDeleted: true, delivery.MalformedDelivery: true,
		}[reason]
		if strings.Contains(string(text), "4711") != speaksOfTheRequest || !strings.Contains(string(text), fmt.Sprintf(`"reason":%q`, reason)) {
			t.Errorf("the receipt is %s", text)
		}
		if !speaksOfTheRequest && !strings.Contains(string(text), "order.coins: ") {
			t.Errorf("the receipt does not name the path: %s", text)
		}
	}
}
