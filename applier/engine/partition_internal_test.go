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
