package audit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// unprovenNamed is how many deliveries without proof of one message are named. Somebody
// can put 100,000 into one.
const unprovenNamed = 10

func (x *audit) foundUnproven(d *delivery.Delivery) {
	x.forged[d.Position.Sequence]++
	if x.forged[d.Position.Sequence] <= unprovenNamed {
		x.foundIn(unproven, d, "%s It changes nothing. Find out who can publish to the stream, then acknowledge it.", d.Malformed)
	}
}

// foundMoreUnproven counts those that are not named. A page has all of its messages.
func (x *audit) foundMoreUnproven() {
	for _, sequence := range slices.Sorted(maps.Keys(x.forged)) {
		if n := x.forged[sequence] - unprovenNamed; n > 0 {
			x.found(admin.Finding{Kind: unproven, Sequence: sequence, Detail: fmt.Sprintf(
				"The message holds %d more deliveries without a valid MAC than are named here. They change nothing.", n)})
		}
	}
}
