package postgres_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// auditLedger returns the violations, each as its kind and the numbers of the
// deliveries in ids. In slices it finds the same.
func auditLedger(tb testing.TB, s *postgres.Store, ids []delivery.ID) (found []string) {
	tb.Helper()
	found = auditOnce(tb, s, ids)
	s.AuditInSlices(2)
	if diff := cmp.Diff(found, auditOnce(tb, s, ids)); diff != "" {
		tb.Errorf("in slices: %s", diff)
	}
	s.AuditInSlices(0)
	return found
}

func auditOnce(tb testing.TB, s *postgres.Store, ids []delivery.ID) (found []string) {
	tb.Helper()
	err := s.AuditLedger(tb.Context(), func(string) {}, func(v admin.Finding) {
		found = append(found, fmt.Sprintf("%s %d %s", v.Kind, slices.Index(ids, admin.OrEmpty(v.DeliveryID)), admin.OrEmpty(v.Currency)))
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.Sort(found)
	return found
}

// One row that was changed or deleted by hand is named, and nothing else is.
func TestTheAuditNamesWhatWasChangedByHand(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change string // $1 is the delivery that is meant, the second of three
		want   []string
	}{
		"nothing":              {`SELECT $1::uuid`, nil},
		"a balance":            {`UPDATE balances SET amount = amount + 1 WHERE currency = 'coins' AND $1::uuid IS NOT NULL`, []string{"balance_changed -1 coins"}},
		"a balance is gone":    {`DELETE FROM balances WHERE currency = 'xp' AND $1::uuid IS NOT NULL`, []string{"balance_missing -1 xp"}},
		"an amount":            {`UPDATE gamification_logs SET amount = amount + 1 WHERE delivery_id = $1 AND currency = 'coins'`, []string{"log_changed 1 coins"}},
		"an operator":          {`UPDATE gamification_logs SET operator = 'subtract' WHERE delivery_id = $1 AND currency = 'coins'`, []string{"log_changed 1 coins"}},
		"a running balance":    {`UPDATE gamification_logs SET balance = balance + 1 WHERE delivery_id = $1 AND currency = 'coins'`, []string{"log_changed 1 coins"}},
		"the largest amount":   {`UPDATE gamification_logs SET amount = 9223372036854775807 WHERE delivery_id = $1 AND currency = 'coins'`, []string{"log_changed 1 coins"}},
		"the least amount":     {`UPDATE gamification_logs SET amount = -9223372036854775808, operator = 'subtract' WHERE delivery_id = $1 AND currency = 'coins'`, []string{"log_changed 1 coins"}},
		"the largest balance":  {`UPDATE gamification_logs SET balance = 9223372036854775807 WHERE delivery_id = $1 AND currency = 'coins'`, []string{"log_changed 1 coins"}},
		"the largest number":   {`UPDATE gamification_logs SET number = 9223372036854775807 WHERE delivery_id = $1 AND currency = 'coins'`, []string{"balance_changed -1 coins", "log_missing 1 coins", "log_missing 2 coins"}},
		"the least ordinal":    {`UPDATE gamification_logs SET ordinal = -32768 WHERE delivery_id = $1 AND currency = 'coins'`, []string{"log_changed 1 coins", "log_missing 1 "}},
		"a log's user":         {`UPDATE outcomes SET user_id = gen_random_uuid() WHERE delivery_id = $1`, []string{"log_changed 1 coins", "log_changed 1 xp"}},
		"a log is gone":        {`DELETE FROM gamification_logs WHERE delivery_id = $1 AND currency = 'coins'`, []string{"log_missing 1 ", "log_missing 2 coins"}},
		"an outcome is gone":   {`DELETE FROM outcomes WHERE delivery_id = $1`, []string{"outcome_missing 1 "}},
		"an outcome":           {`UPDATE outcomes SET outcome = 'skipped' WHERE delivery_id = $1`, []string{"outcome_changed 1 "}},
		"a dead letter":        {`DELETE FROM dead_letters WHERE $1::uuid IS NOT NULL`, []string{"dead_letter_missing 3 "}},
		"a status is bettered": {`UPDATE outcomes SET status = 'success', outcome = 'skipped', reason = NULL WHERE status = 'failed' AND $1::uuid IS NOT NULL`, []string{"outcome_changed 3 "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := postgrestest.Open(t, postgres.Options{})
			addUsers(t, s, "alice@example.com")
			var items []applier.Item
			var ids []delivery.ID
			for range 3 {
				items = append(items, plan(t, "alice@example.com", change(webhook.Add, "coins", 5), change(webhook.Add, "xp", 1)))
			}
			items = append(items, plan(t, "nobody@example.com", change(webhook.Add, "coins", 5)))
			for _, item := range items {
				ids = append(ids, item.Delivery.ID)
			}
			settle(t, s, items...)
			if _, err := db.ExecContext(t.Context(), tc.change, ids[1].String()); err != nil {
				t.Fatal(err)
			}
			audit := auditLedger
			if name == "the largest number" { // slices are in the order of ids, and not of numbers
				audit = auditOnce
			}
			if diff := cmp.Diff(tc.want, audit(t, s, ids)); diff != "" {
				t.Error(diff)
			}
			s.AuditInSlices(1)
			if found := auditOnce(t, s, ids); (found == nil) != (tc.want == nil) {
				t.Errorf("in slices: %v", found)
			}
		})
	}
}

// A log that is the newest of its account is missed by the balance.
func TestTheAuditMissesTheNewestLog(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	first, last := plan(t, "alice@example.com", change(webhook.Add, "coins", 5)), plan(t, "alice@example.com", change(webhook.Add, "coins", 5))
	settle(t, s, first, last)
	if _, err := db.ExecContext(t.Context(), `DELETE FROM gamification_logs WHERE delivery_id = $1`, last.Delivery.ID.String()); err != nil {
		t.Fatal(err)
	}
	want := []string{"log_missing -1 coins", "log_missing 1 "}
	if diff := cmp.Diff(want, auditLedger(t, s, []delivery.ID{first.Delivery.ID, last.Delivery.ID})); diff != "" {
		t.Error(diff)
	}
}
