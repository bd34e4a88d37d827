//go:build !race

// The race detector allocates, too.

package server

import "testing"

// TestARequestAllocatesLittle: what is allocated, the garbage collector has to find
// again. Here these are the body, the kept headers, the answer, its header and the
// Location in it, and what the test makes itself.
func TestARequestAllocatesLittle(t *testing.T) {
	const most = 8
	for name, direct := range map[string]bool{"direct": true, "by a proxy": false} {
		whole, _ := wholeHandler(t, direct)
		if n := testing.AllocsPerRun(1000, whole); n > most {
			t.Errorf("%s: %v allocations a request, want %d at most", name, n, most)
		}
	}
}
