package engine

import (
	"context"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// dropping are definitions of a partition that is dropped while they are read.
type dropping struct{ *partition }

func (d dropping) At(ctx context.Context, _ string, _ uint64) (*webhook.Webhook, error) {
	d.cancel()
	return nil, ctx.Err()
}

func (d dropping) Version(ctx context.Context, _ string, _ int) (*webhook.Webhook, error) {
	return nil, ctx.Err()
}

func (d dropping) TookClear(ctx context.Context, _ string, _ uint64, _ time.Time) (bool, error) {
	return false, ctx.Err()
}

type noTrouble struct {
	applier.Reporter
	t *testing.T
}

func (n noTrouble) Postponed(_ []*delivery.Delivery, err error) {
	n.t.Errorf("reported as trouble: %v", err)
}

// Deliveries of a partition that is handed over are no trouble: the next owner settles
// them.
func TestADroppedPartitionReportsNoTrouble(t *testing.T) {
	t.Parallel()
	p := &partition{engine: &Engine{}}
	p.ctx, p.cancel = context.WithCancel(t.Context())
	report := noTrouble{t: t}
	p.engine.Options = Options{Applier: applier.New(dropping{p}, nil, nil, nil, report), Report: report}
	p.live([]received{{Delivery: &delivery.Delivery{WebhookID: "wh"}}})
}

// known are definitions of webhooks that a test has.
type known struct{ dropping }

func (known) At(_ context.Context, id string, _ uint64) (*webhook.Webhook, error) {
	return &webhook.Webhook{Record: webhook.Record{ID: id}}, nil
}

type noCommunities struct{ applier.Communities }

func (noCommunities) Community(context.Context, string) (*applier.Community, error) {
	return &applier.Community{}, nil
}

// Positions begin again in a stream that came back from a backup. A batch may have
// deliveries of both, with the same position.
func TestTwoDeliveriesWithOnePosition(t *testing.T) {
	t.Parallel()
	evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
		return applier.Plan{}, nil, nil
	}
	p := &partition{engine: &Engine{}, held: map[string]*heldWebhook{"held": {}}}
	p.engine.Applier = applier.New(known{}, noCommunities{}, evaluate, nil, noTrouble{t: t})
	p.ctx = t.Context()
	position := delivery.Position{Sequence: 5}
	waits := received{&delivery.Delivery{ID: delivery.NewID(), WebhookID: "held", Position: position}, nil}
	goes := received{&delivery.Delivery{ID: delivery.NewID(), WebhookID: "free", Position: position}, nil}
	ready, parked, failure := p.sort([]received{waits, goes})
	if failure != nil || len(ready) != 1 || len(parked) != 1 {
		t.Fatalf("%d are ready and %d are parked, then %v; want 1 of each", len(ready), len(parked), failure)
	}
	if ready[0].Delivery.ID != goes.ID || parked[0].Delivery.ID != waits.ID {
		t.Errorf("%s is ready and %s is parked", ready[0].Delivery.WebhookID, parked[0].Delivery.WebhookID)
	}
}
