package engine

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A partition uses one lane for few deliveries and all for many. It changes only while
// nothing is on its way: a user's later delivery would overtake the one before.
func TestSpreading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &partition{engine: New(Options{Lanes: 2}), changed: make(chan struct{}, 1)}
		p.ctx, p.cancel = context.WithCancel(t.Context())
		before := work{Item: applier.Item{Delivery: &delivery.Delivery{}}, partition: p}
		p.count([]work{before})
		p.begin(1)

		if p.spreads(spreadFrom - 1); p.spread {
			t.Error("few deliveries spread")
		}
		done := false
		go func() { p.spreads(spreadFrom); done = true }()
		if synctest.Wait(); done || p.spread {
			t.Error("deliveries spread while one is on its way in its lane")
		}
		p.leave(before, false)
		if synctest.Wait(); !done || !p.spread {
			t.Error("many deliveries do not spread once nothing is on its way")
		}
		p.count([]work{before})
		p.begin(1)
		if p.spreads(1); !p.spread {
			t.Error("deliveries gather in one lane while one is on its way in another")
		}
		p.leave(before, false)
		if p.spreads(gatherInto + 1); !p.spread {
			t.Error("many deliveries gather in one lane")
		}
		if p.spreads(gatherInto); p.spread {
			t.Error("few deliveries do not gather in one lane")
		}
		p.count([]work{before})
		p.cancel()
		if p.spreads(spreadFrom) || p.spread {
			t.Error("a partition that was dropped goes on")
		}
	})
}
