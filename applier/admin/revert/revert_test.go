package revert_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/revert"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

var shop = &webhook.Webhook{Record: webhook.Record{
	ID: "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", Version: 3, Definition: webhook.Definition{Name: "Shop", Community: "default"},
}}

// settle applies so many deliveries, each of which adds a coin to one user.
func settle(tb testing.TB, s *postgres.Store, deliveries int) {
	tb.Helper()
	if _, err := s.ImportUsers(tb.Context(), "default", []postgres.NewUser{{Email: "alice@example.com"}}); err != nil {
		tb.Fatal(err)
	}
	items := make([]applier.Item, deliveries)
	for i := range items {
		items[i] = applier.Item{
			Webhook:  shop,
			Delivery: &delivery.Delivery{ID: delivery.NewID(), WebhookID: shop.ID, ReceivedAt: time.Now(), Body: []byte("{}"), Attempt: 1},
			Plan: applier.Plan{
				User:    applier.UserRef{By: webhook.ByEmail, Value: "alice@example.com"},
				Changes: []applier.Change{{Currency: "coins", Operator: webhook.Add, Amount: 1}},
			},
		}
	}
	if _, err := s.Settle(tb.Context(), items); err != nil {
		tb.Fatal(err)
	}
}

func coins(tb testing.TB, s *postgres.Store) int64 {
	tb.Helper()
	u, err := s.FindUser(tb.Context(), "default", "alice@example.com")
	if err != nil {
		tb.Fatal(err)
	}
	return u.Balances["coins"]
}

func plan(tb testing.TB, r *revert.Reverter, request *revert.Request) *revert.Plan {
	tb.Helper()
	p, err := r.Plan(tb.Context(), request)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestAnInterruptedRevertGoesOn(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	settle(t, s, 1100)
	r, request := revert.New(s), &revert.Request{By: "ada"}
	first := plan(t, r, request)
	ctx, cancel := context.WithCancel(t.Context())
	result, err := r.Run(ctx, request, first, func(revert.Progress) { cancel() })
	if !errors.Is(err, revert.ErrInterrupted) || first.Selected != 1100 || result.Reverted != 500 || coins(t, s) != 600 {
		t.Fatalf("interrupted with %+v (%v), %d coins are left", result, err, coins(t, s))
	}
	rest := plan(t, r, request)
	result, err = r.Run(t.Context(), request, rest, nil)
	if err != nil || rest.Selected != 600 || rest.AlreadyReverted != 500 || result.Reverted != 600 || coins(t, s) != 0 {
		t.Errorf("went on with %+v (%v), %d coins are left", result, err, coins(t, s))
	}
}

// What is applied after the plan was made is not in it, and what somebody else
// has reverted is not reverted again.
func TestARunDoesWhatWasPlannedAndNothingElse(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	settle(t, s, 5)
	r, request := revert.New(s), &revert.Request{By: "ada"}
	planned, other := plan(t, r, request), plan(t, r, request)
	settle(t, s, 3)
	if result, err := r.Run(t.Context(), request, planned, nil); err != nil || result.Reverted != 5 || coins(t, s) != 3 {
		t.Errorf("%+v (%v), %d coins", result, err, coins(t, s))
	}
	if result, err := r.Run(t.Context(), request, other, nil); err != nil || result.Reverted != 0 || result.AlreadyReverted != 5 || coins(t, s) != 3 {
		t.Errorf("again %+v (%v), %d coins", result, err, coins(t, s))
	}
}

// What retention removes between plan and run is named, and the others are
// reverted.
func TestARunNamesWhatWasRemovedSinceThePlan(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	settle(t, s, 3)
	r, request := revert.New(s), &revert.Request{By: "ada"}
	planned := plan(t, r, request)
	gone := postgres.Old{Before: time.Now().Add(time.Hour), Incarnation: "another", First: 1}
	if removed, err := s.RemoveLogs(t.Context(), gone, 1); err != nil || removed.Outcomes != 1 {
		t.Fatalf("removed %+v (%v)", removed, err)
	}
	result, err := r.Run(t.Context(), request, planned, nil)
	if err != nil || result.Reverted != 2 || len(result.NotApplied) != 1 || result.NotApplied[0].State != "removed for its age" || coins(t, s) != 1 {
		t.Errorf("%+v (%v), %d coins", result, err, coins(t, s))
	}
}
