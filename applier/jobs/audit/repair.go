package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Publisher stores deliveries in the stream once more, in their order.
type Publisher interface {
	PublishAll(ctx context.Context, all []delivery.Delivery) error
}

const (
	// repairAtOnce are published before the repair waits for them, so that new deliveries
	// do not stand behind all of a repair.
	repairAtOnce  = 256
	publishWithin = 10 * time.Second
	pollEvery     = 50 * time.Millisecond
)

// Repair audits, asks whether to publish the unsettled deliveries again, does so, and
// waits until they are settled or parked. Deliveries are known by their ids: a repair that
// is run twice, or while appliers catch up, settles nothing twice.
func (a *Auditor) Repair(ctx context.Context, incarnation string, p Publisher, ask func(*Report, int) error) (r *Report, repaired int, err error) {
	x, err := a.run(ctx, incarnation)
	if err != nil {
		return nil, 0, err
	}
	if len(x.again) == 0 {
		return &x.report, 0, nil
	}
	if err := ask(&x.report, len(x.again)); err != nil {
		return &x.report, 0, err
	}
	for chunk := range slices.Chunk(x.again, repairAtOnce) {
		if err := x.repairChunk(ctx, p, chunk); err != nil {
			return &x.report, repaired, fmt.Errorf("%d of %d are repaired; run the same command again to continue: %w", repaired, len(x.again), err)
		}
		repaired += len(chunk)
		a.tell(fmt.Sprintf("repaired %d of %d", repaired, len(x.again)))
	}
	return &x.report, repaired, nil
}

func (x *audit) repairChunk(ctx context.Context, p Publisher, chunk []place) error {
	batch := make([]delivery.Delivery, 0, len(chunk))
	for _, at := range chunk {
		message, err := x.stream.Deliveries(ctx, at.Sequence)
		if err != nil {
			return err
		}
		if at.Index < len(message) {
			batch = append(batch, x.copyOf(message[at.Index]))
		}
	}
	publish, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishWithin)
	defer cancel()
	if err := p.PublishAll(publish, batch); err != nil {
		return fmt.Errorf("publish again: %w", err)
	}
	return x.await(ctx, batch)
}

// copyOf is a delivery to be published once more. The copy is at the stream's end and
// counts as of the delivery's first position, so later values stay later.
func (x *audit) copyOf(d delivery.Delivery) delivery.Delivery {
	if d.First == nil { // else it is a copy already
		d.First = &delivery.Place{Incarnation: x.incarnation, Position: d.Position, StoredAt: d.StoredAt}
	}
	return d
}

// await waits until all deliveries have an outcome or a parked row.
func (x *audit) await(ctx context.Context, batch []delivery.Delivery) error {
	for {
		open, err := x.open(ctx, batch)
		if err != nil || open == 0 {
			return err
		}
		if err := jobs.Sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// open counts those that are neither settled nor parked.
func (x *audit) open(ctx context.Context, batch []delivery.Delivery) (n int, err error) {
	var ids []delivery.ID
	for _, d := range batch {
		if d.Replay == nil {
			ids = append(ids, d.ID)
		}
	}
	settled, err := x.store.SettledOf(ctx, x.incarnation, ids)
	if err != nil {
		return 0, err
	}
	x.page = batch
	accounted, err := x.accounted(ctx)
	if err != nil {
		return 0, err
	}
	for _, d := range batch {
		if _, known := settled[d.ID]; d.Replay == nil && !known || d.Replay != nil && !accounted[d.Replay.ID] {
			n++
		}
	}
	return n, nil
}
