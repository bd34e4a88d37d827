package engine_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A header says which partitions a message is about, and no MAC covers it. Forged
// deliveries that it hides become dead letters all the same, and the floors go on.
func TestAForgedHeaderHidesNoForgedDelivery(t *testing.T) {
	t.Parallel()
	const partitions = 4
	w := newSignedWorld(t, partitions, brokertest.DeliveryKeys(t, "a"))
	users := w.addUsers("red", 1)
	h := w.hook(t, "red", "Shop", "add")
	w.startOwner(t, 2)
	h.send(t, 1, users[0])
	w.awaitSettled(t, 1)
	// The slot is in the message; every partition sees it named once, and never its own.
	genuine := w.Server.Data(1)
	forged := 0
	mine := delivery.Partition{Count: partitions, Index: (delivery.SlotOf(h.Community) - 1) % partitions}
	for slot := 1; forged < 3*partitions; slot++ {
		data := bytes.Replace(genuine, []byte(`"amount": 1`), []byte(`"amount": 9`), 1)
		if mine.Has(slot) {
			data = []byte("no message") // of the partition of the first slot
		}
		if mine.Has(slot) && mine.Has(1) {
			continue
		}
		w.Server.Forge(data, map[string]string{"Coinhook-Deliveries": "1", "Coinhook-Slots": fmt.Sprintf("%d:1", slot)})
		forged++
	}
	last := h.send(t, 1, users[0])
	w.awaitSettled(t, 2+forged)
	if n := w.malformed(t); n != forged {
		t.Errorf("%d failed as malformed, want %d", n, forged)
	}
	if got := w.coins(t); got != 1+len(last) {
		t.Errorf("%d coins, want %d", got, 1+len(last))
	}
	w.wantNamed(t, forged)
}
