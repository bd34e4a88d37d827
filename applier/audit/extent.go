package audit

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// compareExtent looks for outcomes of deliveries that the stream does not have
// where it should, and for a stream that is older than what was settled from it.
func (x *audit) compareExtent(ctx context.Context) error {
	known, err := x.store.KnowsOfStream(ctx, x.incarnation, x.extent.First, x.extent.Last)
	if err != nil {
		return err
	}
	if err := x.compareEnds(ctx, known.Later, known.LastSequence); err != nil {
		return err
	}
	// Those that settled while the stream was read were pending when it was, so that
	// there may be more by now, and never fewer.
	if known.Outcomes <= x.matched {
		return nil
	}
	return x.findStray(ctx)
}

// compareEnds looks for a stream that is older than what was settled from it.
// Where it ends is read after what was settled, for deliveries go on coming.
func (x *audit) compareEnds(ctx context.Context, later string, lastSequence uint64) error {
	if later != "" {
		x.found(Violation{Kind: streamSuperseded, Detail: fmt.Sprintf(
			"Deliveries were settled from a later incarnation of the stream, %s: this one, %s, came back from a backup.", later, x.incarnation)})
	}
	now, err := x.stream.Extent(ctx)
	if err != nil {
		return err
	}
	if lastSequence > now.Last {
		x.found(Violation{Kind: streamWentBack, Sequence: lastSequence, Detail: fmt.Sprintf(
			"A delivery was settled from message %d, and the stream ends at %d: it came back from a backup.", lastSequence, now.Last)})
	}
	return nil
}

// findStray looks up each outcome's own message. It is slow, and rarely needed.
func (x *audit) findStray(ctx context.Context) error {
	var after delivery.ID
	for {
		page, err := x.store.OutcomesInStream(ctx, x.incarnation, x.extent.First, x.extent.Last, after, pageSize)
		if err != nil {
			return err
		}
		for _, o := range page {
			message, err := x.stream.Deliveries(ctx, o.Sequence)
			if err != nil {
				return err
			}
			found := false
			for _, d := range message {
				found = found || d.ID == o.ID
			}
			if !found {
				x.found(Violation{
					Kind: notInTheStream, DeliveryID: &o.ID, Sequence: o.Sequence,
					Detail: fmt.Sprintf("There is an outcome of a delivery in message %d, and it is not there.", o.Sequence),
				})
			}
		}
		if len(page) < pageSize {
			return nil
		}
		x.tell(fmt.Sprintf("outcomes up to %s", page[len(page)-1].ID))
		after = page[len(page)-1].ID
	}
}
