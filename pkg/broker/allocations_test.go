//go:build !race

// The race detector allocates, too.

package broker

import (
	"strings"
	"testing"
)

// TestSigningADeliveryAllocatesNothing: it is done for each request.
func TestSigningADeliveryAllocatesNothing(t *testing.T) {
	keys, d := deliveryKeys(t, "a"), genuine(strings.Repeat("x", 400))
	var e encoded
	if n := testing.AllocsPerRun(1000, func() {
		if err := e.encode(&d); err != nil {
			t.Fatal(err)
		}
		e.sign(keys)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
