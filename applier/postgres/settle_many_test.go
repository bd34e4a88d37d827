package postgres_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// A delivery may change as much as its mappings with each can: all of it or nothing,
// with a log each, undone as a whole, and consistent for the audit. It is audited at
// once: slices as narrow as in other tests take minutes here.
func TestADeliveryWithManyChanges(t *testing.T) {
	t.Parallel()
	const most = 20 * webhook.MaxElements
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	changes := make([]applier.Change, most)
	for i := range changes {
		changes[i] = change(webhook.Add, []string{"coins", "xp"}[i%2], int64(i+1))
	}
	item := plan(t, "alice@example.com", changes...)
	if diff := cmp.Diff([]applier.Settlement{applied}, settle(t, s, item)); diff != "" {
		t.Fatal(diff)
	}
	if again := settle(t, s, item); !again[0].Known || again[0].Outcome != delivery.Applied {
		t.Errorf("delivered again: %+v", again)
	}
	// The odd numbers up to 19,999, and the even ones up to 20,000.
	want := map[string]int64{"coins": 100_000_000, "xp": 100_010_000}
	if diff := cmp.Diff(want, balances(t, s, "alice@example.com")); diff != "" {
		t.Error(diff)
	}
	logs, err := s.ListLogs(t.Context(), postgres.LogFilter{Limit: 2})
	if err != nil || len(logs) != 2 || logs[0].Amount != fmt.Sprint(most) || logs[1].Amount != fmt.Sprint(most-1) {
		t.Errorf("the newest logs are %+v, %v", logs, err)
	}
	if n := count(t, db, "SELECT count(*) FROM gamification_logs WHERE delivery_id = $1", item.Delivery.ID.String()); n != most {
		t.Errorf("%d logs", n)
	}
	outcomes, err := s.ListOutcomes(t.Context(), postgres.OutcomeFilter{Limit: 10})
	if err != nil || len(outcomes) != 1 || len(outcomes[0].Changes) != most || outcomes[0].Changes[most-1].Amount != fmt.Sprint(most) {
		t.Errorf("the history has %d deliveries, %v", len(outcomes), err)
	}
	failing := plan(t, "alice@example.com", append(changes[:len(changes):len(changes)], change(webhook.Subtract, "coins", 1<<40))...)
	if got := settle(t, s, failing); got[0].Failure == nil || got[0].Failure.Reason != delivery.InsufficientBalance {
		t.Errorf("one change too many: %+v", got)
	}
	if diff := cmp.Diff(want, balances(t, s, "alice@example.com")); diff != "" {
		t.Errorf("after a failure: %s", diff)
	}
	ids := []delivery.ID{item.Delivery.ID, failing.Delivery.ID}
	if found := auditOnce(t, s, ids); found != nil {
		t.Errorf("the audit finds %v", found)
	}
	reversals, err := s.Revert(t.Context(), ids[:1], byAda)
	if err != nil || len(reversals) != 1 || reversals[0].Failure != nil {
		t.Fatalf("reverted: %+v, %v", reversals, err)
	}
	if diff := cmp.Diff(map[string]int64{"coins": 0, "xp": 0}, balances(t, s, "alice@example.com")); diff != "" {
		t.Errorf("after the revert: %s", diff)
	}
	if found := auditOnce(t, s, ids); found != nil {
		t.Errorf("after the revert the audit finds %v", found)
	}
}

// A skipped delivery keeps why it was, a replay's too.
func TestASkippedDeliveryKeepsWhy(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	why := &applier.Skipped{Detail: `A condition does not hold: type equals "paid", but it is absent.`, Path: "type"}
	item := applier.Item{Delivery: newDelivery(t), Webhook: shop, Plan: applier.Plan{Skip: true, Why: why}}
	settle(t, s, item)
	outcomes, err := s.ListOutcomes(t.Context(), postgres.OutcomeFilter{Limit: 10})
	if err != nil || len(outcomes) != 1 {
		t.Fatalf("%+v, %v", outcomes, err)
	}
	if o := outcomes[0]; *o.Outcome != delivery.Skipped || *o.Detail != why.Detail || o.Path != why.Path || o.Reason != nil {
		t.Errorf("got %+v", o)
	}
}
