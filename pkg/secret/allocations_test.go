//go:build !race

// The race detector allocates, too.

package secret_test

import "testing"

// TestSigningAllocatesNothing: it is done for each delivery, twice.
func TestSigningAllocatesNothing(t *testing.T) {
	keys := deliveryKeys(t, "b", "a")
	head, body, mac := []byte("head"), make([]byte, 400), make([]byte, 0, 32)
	signed := deliveryKeys(t, "a").Sign(nil, head, body)
	if n := testing.AllocsPerRun(1000, func() { mac = keys.Sign(mac[:0], head, body) }); n > 0 {
		t.Errorf("%v allocations to sign", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if !keys.Verify(signed, head, body) {
			t.Error("not verified")
		}
	}); n > 0 {
		t.Errorf("%v allocations to verify", n)
	}
}
