package engine

import (
	"context"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A feeder may put work into a lane after the partition was dropped. What was before it
// is forgotten then, so it must not be settled.
func TestALaneTakesNothingOfADroppedPartition(t *testing.T) {
	t.Parallel()
	l := newLane(nil)
	put := func(p *partition) {
		l.put(p, []work{{Item: applier.Item{Delivery: &delivery.Delivery{}}, partition: p}})
	}
	dropped, kept := &partition{}, &partition{}
	dropped.ctx, dropped.cancel = context.WithCancel(t.Context())
	kept.ctx, kept.cancel = context.WithCancel(t.Context())
	defer kept.cancel()
	put(dropped)
	dropped.cancel()
	l.forget(dropped)
	put(dropped)
	put(kept)
	if batch := l.take(); len(batch) != 1 || batch[0].partition != kept {
		t.Errorf("%d deliveries are taken, want that of the other partition", len(batch))
	}
	if batch := l.take(); len(batch) != 0 {
		t.Errorf("%d more are taken", len(batch))
	}
}
