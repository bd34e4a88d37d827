package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// settleAll settles items, and what is parked again and again until it is decided.
func settleAll(tb testing.TB, s *postgres.Store, items ...applier.Item) []applier.Settlement {
	settlements := make([]applier.Settlement, len(items))
	rest := make([]int, len(items))
	for i := range rest {
		rest[i] = i
	}
	wasParked := map[int]bool{}
	for deadline := time.Now().Add(2 * time.Minute); len(rest) > 0; {
		batch := make([]applier.Item, len(rest))
		for i, n := range rest {
			batch[i] = items[n]
			batch[i].WasParked = wasParked[n]
		}
		got, err := s.Settle(tb.Context(), batch)
		if err != nil {
			tb.Errorf("settle: %v", err)
			return settlements
		}
		var parked []int
		for i, n := range rest {
			settlements[n] = got[i]
			if got[i].Parked {
				parked, wasParked[n] = append(parked, n), true
			}
		}
		if rest = parked; len(rest) > 0 && time.Now().After(deadline) {
			tb.Errorf("%d deliveries are still parked", len(rest))
			return settlements
		}
	}
	return settlements
}

// partitionOfAll is the one that has all slots.
var partitionOfAll = delivery.Partition{Generation: 1, Count: 1}

// parkedDelivery has all that a row keeps.
func parkedDelivery(sequence uint64) *delivery.Delivery {
	return &delivery.Delivery{
		ID: delivery.NewID(), WebhookID: shop.ID, Revision: 1<<63 + 5, Slot: 17,
		ReceivedAt: time.Now().UTC().Truncate(time.Microsecond), StoredAt: time.Now().UTC().Truncate(time.Microsecond),
		Headers: []delivery.Header{{Name: "X-Event", Value: "a\x00\"b"}}, Body: []byte("{\"a\":\"\\u0000\"}\x00\xff"),
		Method: "GET", Query: "a=%zz&b=\xff\x00",
		Incarnation: "one", Position: delivery.Position{Sequence: sequence, Index: 2}, Attempt: 3,
	}
}

// A delivery comes from its row as it was.
func TestAParkedDeliveryComesBackAsItWas(t *testing.T) {
	t.Parallel()
	plain, replayed, unread, newer := parkedDelivery(1), parkedDelivery(2), parkedDelivery(3), parkedDelivery(4)
	replayed.Replay = &delivery.Replay{
		ID: delivery.NewID(), Cause: delivery.Bulk, RequestedBy: "anna@office", RequestedAt: replayed.ReceivedAt,
		Note: "fixed", Revision: 8, Version: 2, Edited: true,
	}
	replayed.First = &delivery.Place{Incarnation: "never seen", Position: delivery.Position{Sequence: 9, Index: 1}, StoredAt: replayed.StoredAt}
	unread.Malformed, unread.StoredAt, unread.Headers = "It is not a delivery.", time.Time{}, nil
	unread.First = &delivery.Place{}
	newer.Newer, newer.Body = true, []byte{}
	want := []delivery.Delivery{*plain, *replayed, *unread, *newer}
	var items []applier.Item
	for _, d := range []*delivery.Delivery{plain, replayed, unread, newer} {
		item := plan(t, "alice@example.com", change(webhook.Add, "coins", 1))
		item.Delivery = d
		items = append(items, item)
	}

	t.Run("from its webhook's", func(t *testing.T) {
		t.Parallel()
		s, _ := postgrestest.Open(t, postgres.Options{Settling: true})
		park(t, s, applier.Paused, items...)
		wantParkedOf(t, s, want...)
		wantParkedOfUsers(t, s)
	})
	t.Run("from its user's", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{Settling: true})
		addUsers(t, s, "alice@example.com")
		letGo := holding(t, db, "SELECT FROM users FOR UPDATE")
		settle(t, s, items...)
		wantParkedOfUsers(t, s, want[0])
		letGo()
		wantParkedOfUsers(t, s, want...)
		wantParkedOf(t, s)
	})
}

func park(tb testing.TB, s *postgres.Store, reason applier.ParkReason, items ...applier.Item) {
	tb.Helper()
	batch := make([]applier.Parking, len(items))
	for i, item := range items {
		batch[i] = applier.Parking{Item: item, Reason: reason, Detail: "It waits."}
	}
	if err := s.Park(tb.Context(), batch); err != nil {
		tb.Fatal(err)
	}
}

func wantParkedOf(tb testing.TB, s *postgres.Store, want ...delivery.Delivery) {
	tb.Helper()
	got, err := s.ParkedOf(tb.Context(), partitionOfAll, shop.ID, nil, 100)
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		tb.Errorf("parked deliveries of the webhook (-want +got):\n%s", diff)
	}
}

func wantParkedOfUsers(tb testing.TB, s *postgres.Store, want ...delivery.Delivery) {
	tb.Helper()
	got, err := s.ParkedOfUsers(tb.Context(), partitionOfAll, 100)
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		tb.Errorf("parked deliveries of users (-want +got):\n%s", diff)
	}
}
