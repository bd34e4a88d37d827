package audit_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// parking stands for an applier that parks some webhooks' deliveries.
type parking struct {
	mu    sync.Mutex
	waits map[string]bool // webhooks
}

func (p *parking) pause(webhookID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits == nil {
		p.waits = map[string]bool{}
	}
	p.waits[webhookID] = true
}

// unpause leaves what is parked where it is.
func (p *parking) unpause(webhookID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waits, webhookID)
}

func (p *parking) handle(t *testing.T, store *postgres.Store, settle brokertest.Handler) brokertest.Handler {
	return func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		p.mu.Lock()
		defer p.mu.Unlock()
		var parked []applier.Parking
		var others []delivery.Delivery
		for i := range batch {
			if p.waits[batch[i].WebhookID] {
				parked = append(parked, applier.Parking{Item: applier.Item{Delivery: &batch[i]}, Reason: applier.Paused})
			} else {
				others = append(others, batch[i])
			}
		}
		if err := store.Park(ctx, parked); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		settle(ctx, others)
		return make([]delivery.Verdict, len(batch))
	}
}

// resume settles what a webhook has parked.
func (p *parking) resume(t *testing.T, store *postgres.Store, webhookID string, item func(*delivery.Delivery) applier.Item) {
	t.Helper()
	p.unpause(webhookID)
	for {
		some, err := store.ParkedOf(t.Context(), delivery.Partition{Count: 1}, webhookID, nil, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(some) == 0 {
			return
		}
		batch := make([]applier.Item, len(some))
		for i := range some {
			batch[i] = item(&some[i])
			batch[i].WasParked = true
		}
		if _, err := store.Settle(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

// Parked deliveries are accounted for as long as they have their rows. When the
// database is replaced by one from before, they are found and published again like
// those that were settled behind them.
func TestParkedDeliveriesThatARestoreLostAreRepaired(t *testing.T) {
	t.Parallel()
	const others = 5
	conn := brokertest.Start(t).ConnectSetUp()
	var stores [2]*postgres.Store
	var handlers [2]brokertest.Handler
	var p parking
	for i := range stores {
		stores[i], _ = postgrestest.Open(t, postgres.Options{MaxConns: 4})
		handlers[i] = p.handle(t, stores[i], paying(t, stores[i]))
	}
	var restored atomic.Int64
	consume(t, conn, func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		return handlers[restored.Load()](ctx, batch)
	})
	kept, waits := newDelivery([]byte("{}")), newDelivery([]byte("{}"))
	replayed := again(waits)
	for _, d := range []delivery.Delivery{kept, waits} {
		p.pause(d.WebhookID)
	}
	publishAll(t, conn, slices.Values([][]delivery.Delivery{{kept, waits}, {replayed}}))
	lost := append([]string{kept.ID.String(), waits.ID.String(), waits.ID.String()}, publish(t, conn, others, 1)...)
	awaitConsumed(t, conn)
	stream, incarnation := opened(t, conn)
	check := func(want audit.Report, named ...string) {
		t.Helper()
		r := mustAudit(t, audit.New(stores[restored.Load()], stream), incarnation)
		var got []string
		for _, v := range r.Violations {
			got = append(got, v.DeliveryID.String())
		}
		if diff := cmp.Diff(named, got); diff != "" {
			t.Errorf("named: %s", diff)
		}
		r.Violations, r.Acknowledged = nil, nil
		if diff := cmp.Diff(want, *r); diff != "" {
			t.Error(diff)
		}
	}
	check(audit.Report{Accepted: 2 + others, Success: others, Pending: 2, Parked: 2, Replays: 1})

	restored.Store(1)
	check(audit.Report{Accepted: 2 + others, Unsettled: 2 + others, Replays: 1}, lost...)
	p.unpause(waits.WebhookID)
	publisher := broker.NewPublisher(conn, broker.PublisherOptions{Again: true, Log: zerolog.Nop()})
	appliertest.Running(t, publisher.Run)
	for _, want := range []int{len(lost), 0} {
		_, repaired, err := audit.New(stores[1], stream).Repair(t.Context(), incarnation, publisher, func(*audit.Report, int) error { return nil })
		if err != nil || repaired != want {
			t.Fatalf("repaired %d, want %d: %v", repaired, want, err)
		}
	}
	awaitConsumed(t, conn)
	check(audit.Report{Accepted: 2 + others, Success: 1 + others, Pending: 1, Parked: 1, Replays: 2})
	p.resume(t, stores[1], kept.WebhookID, payAlice)
	check(audit.Report{Accepted: 2 + others, Success: 2 + others, Replays: 2})
	if got := coins(t, stores[1]); got != 2+others {
		t.Errorf("%d coins for %d deliveries", got, 2+others)
	}
}

// A partition that stands still does not hide what another one is past: each is judged
// by its own floor.
func TestAPartitionThatStandsStillHidesNothing(t *testing.T) {
	t.Parallel()
	const lost = 5
	conn := brokertest.Start(t).ConnectSetUp()
	store, _ := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	stuck := newDelivery([]byte("{}"))
	stuck.Slot = slot + 1
	publishAll(t, conn, slices.Values([][]delivery.Delivery{{stuck}}))
	ids := publish(t, conn, lost, 1)
	appliertest.Running(t, brokertest.NewConsumer(conn, func(ctx context.Context, batch []delivery.Delivery) []delivery.Verdict {
		if batch[0].ID == stuck.ID {
			<-ctx.Done()
		}
		return make([]delivery.Verdict, len(batch))
	}).Run)
	stream, incarnation := opened(t, conn)
	appliertest.Eventually(t, "the other partition is past", func() bool {
		p, err := stream.Pending(t.Context())
		return err == nil && !p.Beyond(1+lost, slot)
	})
	r := mustAudit(t, audit.New(store, stream), incarnation)
	var named []string
	for _, v := range r.Violations {
		named = append(named, v.DeliveryID.String())
	}
	if diff := cmp.Diff(ids, named); diff != "" || r.Unsettled != lost || r.Pending != 1 {
		t.Errorf("%+v; %s", r, diff)
	}
}

// again is a replay of a delivery.
func again(d delivery.Delivery) delivery.Delivery {
	d.Replay = &delivery.Replay{ID: delivery.NewID(), Cause: delivery.Bulk, RequestedBy: "ada", RequestedAt: d.ReceivedAt}
	return d
}

// payAlice gives Alice a coin for a delivery.
func payAlice(d *delivery.Delivery) applier.Item {
	return applier.Item{Delivery: d, Webhook: aliceShop, Plan: applier.Plan{
		User:    applier.UserRef{By: webhook.ByEmail, Value: "alice@example.com"},
		Changes: []applier.Change{{Currency: "coins", Operator: webhook.Add, Amount: 1}},
	}}
}

var aliceShop = &webhook.Webhook{Record: webhook.Record{ID: webhook.NewID(), Definition: webhook.Definition{Name: "Shop", Community: "default"}}}
