package e2e

import (
	"encoding/hex"
	"testing"
)

func TestAnOldAESKeyWorksForTheOverlap(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.encrypted(t, "gcm")
	sealed := func(mode, key string) string {
		return hex.EncodeToString(seal(t, mode, key, coinsBody("ann", "1")).blob())
	}
	first := h.AESKey
	var second webhookJSON
	w.query(t, &second, "webhooks", "set-encryption", h.ID, "cbc", "--overlap", "1h")
	for mode, key := range map[string]string{"gcm": first, "cbc": second.AESKey} {
		wantApplied(t, w.settled(t, h.deliver(t, sealed(mode, key), "X-Encrypted", "true")))
	}
	var third webhookJSON
	w.query(t, &third, "webhooks", "set-encryption", h.ID, "gcm", "--aes-key", givenKey, "--overlap", "0")
	wantApplied(t, w.settled(t, h.deliver(t, sealed("gcm", givenKey), "X-Encrypted", "true")))
	for mode, key := range map[string]string{"gcm": first, "cbc": second.AESKey} {
		body := sealed(mode, key)
		d := w.settled(t, h.deliver(t, body, "X-Encrypted", "true"))
		wantFailed(t, d, failure{body: body, reason: "decryption_failed"})
	}
	w.wantBalances(t, "ann", "3", "0")
}

// Deliveries wait for appliers while the key that they need ends.
func TestAKeyOpensWhatWasReceivedInItsTime(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.encrypted(t, "cbc")
	sealed := hex.EncodeToString(seal(t, "cbc", h.AESKey, coinsBody("ann", "1")).blob())
	var early, late string
	w.withAppliersStopped(t, func() {
		early = h.deliver(t, sealed, "X-Encrypted", "true")
		var second webhookJSON
		w.query(t, &second, "webhooks", "set-encryption", h.ID, "cbc", "--overlap", "0")
		late = h.deliver(t, sealed, "X-Encrypted", "true")
	})
	wantApplied(t, w.settled(t, early))
	wantFailed(t, w.settled(t, late), failure{body: sealed, reason: "decryption_failed"})
	w.wantBalances(t, "ann", "1", "0")
}
