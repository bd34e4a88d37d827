package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// compareExtent finds outcomes whose deliveries are missing from the stream, and a stream
// that is older than the outcomes settled from it.
func (x *audit) compareExtent(ctx context.Context) error {
	known, err := x.store.KnowsOfStream(ctx, x.incarnation, x.extent.First, x.extent.Last)
	if err != nil {
		return err
	}
	if err := x.compareEnds(ctx, known.Later, known.LastSequence); err != nil {
		return err
	}
	// Deliveries that were settled while the stream was read count as pending. So there
	// may be more outcomes by now, and never fewer.
	if known.Outcomes <= x.matched {
		return nil
	}
	return x.findStray(ctx)
}

// compareEnds finds a stream that is older than the outcomes settled from it. It reads
// the end of the stream after the outcomes, because deliveries keep arriving.
func (x *audit) compareEnds(ctx context.Context, later string, lastSequence uint64) error {
	if later != "" {
		x.found(admin.Finding{Kind: streamSuperseded, Detail: fmt.Sprintf(
			"Deliveries were settled from a later incarnation of the stream, %s: this one, %s, came back from a backup.", later, x.incarnation)})
	}
	now, err := x.stream.Extent(ctx)
	if err != nil {
		return err
	}
	if lastSequence > now.Last {
		x.found(admin.Finding{Kind: streamWentBack, Sequence: lastSequence, Detail: fmt.Sprintf(
			"A delivery was settled from message %d, and the stream ends at %d: it came back from a backup.", lastSequence, now.Last)})
	}
	return nil
}

// findStray looks up each outcome's own message. It is slow, and rarely needed:
// when outcomes are lost from the stream, or messages are removed for their age.
func (x *audit) findStray(ctx context.Context) error {
	var after delivery.ID
	for {
		page, err := x.store.OutcomesInStream(ctx, x.incarnation, x.extent.First, x.extent.Last, after, pageSize)
		if err != nil {
			return err
		}
		for _, o := range page {
			stray, err := x.isStray(ctx, o)
			if err != nil {
				return err
			}
			if stray {
				x.found(admin.Finding{
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

// isStray reports whether the stream lacks an outcome's message, or the message lacks its
// delivery. Messages that were removed since do not count.
func (x *audit) isStray(ctx context.Context, o postgres.PlacedOutcome) (bool, error) {
	if o.Sequence < x.extent.First {
		return false, nil
	}
	message, ok, err := x.stream.Message(ctx, o.Sequence)
	if err != nil {
		return false, err
	}
	if !ok {
		now, err := x.stream.Extent(ctx)
		if err != nil {
			return false, err
		}
		x.extent.First = max(x.extent.First, now.First)
		return o.Sequence >= x.extent.First, nil
	}
	return !slices.ContainsFunc(message.Deliveries, func(d delivery.Delivery) bool { return d.ID == o.ID }), nil
}

// nowhereNamed is how many outcomes of no stream are named.
const nowhereNamed = 10

// findNowhere looks for outcomes that no message can ever have shown. Each delivery is
// settled from a stream that has a number, and an imported dead letter by its replay.
func (x *audit) findNowhere(ctx context.Context) error {
	beyond, err := x.store.BeyondStream(ctx, x.incarnation, x.extent.First, nowhereNamed)
	if err != nil {
		return err
	}
	x.report.Beyond = beyond.Earlier
	for _, id := range beyond.Examples {
		x.found(admin.Finding{
			Kind: nowhere, DeliveryID: admin.OrNil(id),
			Detail: "The outcome was applied, and names no stream that its delivery came from: somebody has written it.",
		})
	}
	if more := beyond.Nowhere - len(beyond.Examples); more > 0 {
		x.found(admin.Finding{Kind: nowhere, Detail: fmt.Sprintf("There are %d more outcomes that name no stream.", more)})
	}
	return nil
}
