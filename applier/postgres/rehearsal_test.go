package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func rehearse(tb testing.TB, r *postgres.Rehearsal, items ...applier.Item) []applier.Settlement {
	tb.Helper()
	settlements, err := r.Settle(tb.Context(), items)
	if err != nil {
		tb.Fatal(err)
	}
	return settlements
}

// Of a batch that finds no user no currency or custom field is read.
func TestARehearsalLearnsWhatABatchOfNobodyLeftUnread(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	mustSetCurrency(t, s, applier.Currency{Code: "gems", Scale: 2})
	revision := setField(t, s, "team", applier.Text)
	ask := func(email string) applier.Item {
		item := plan(t, email, applier.Change{Currency: "gems", Operator: webhook.Add, Amount: 50, Scale: 2})
		item.Plan.Fields = []applier.FieldChange{{Field: "team", Value: "red", Revision: revision}}
		return item
	}
	r := s.Rehearse()
	if got := rehearse(t, r, ask("nobody@example.com")); got[0].Failure == nil || got[0].Failure.Reason != delivery.UserNotFound {
		t.Errorf("nobody: %+v", got)
	}
	if diff := cmp.Diff([]applier.Settlement{applied}, rehearse(t, r, ask("alice@example.com"))); diff != "" {
		t.Error(diff)
	}
}

func TestARehearsalAfreshKnowsTheKeysOfItsOwnDeliveriesOnly(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	first := keyed(t, "alice@example.com", "order-1", "body", change(webhook.Add, "coins", 5))
	retry := keyed(t, "alice@example.com", "order-1", "body", change(webhook.Add, "coins", 5))
	settle(t, s, first, retry)
	duplicate := applier.Settlement{Status: delivery.Success, Outcome: delivery.Duplicate, DuplicateOf: first.Delivery.ID}
	for _, tc := range []struct {
		about string
		r     *postgres.Rehearsal
		want  []applier.Settlement
	}{
		{"with the keys that are taken", s.Rehearse(), []applier.Settlement{duplicate, duplicate}},
		{"afresh", s.RehearseAfresh(), []applier.Settlement{applied, duplicate}},
	} {
		if diff := cmp.Diff(tc.want, rehearse(t, tc.r, first, retry)); diff != "" {
			t.Errorf("%s: %s", tc.about, diff)
		}
	}
	if got := balances(t, s, "alice@example.com")["coins"]; got != 5 {
		t.Errorf("%d coins after rehearsing", got)
	}
}
