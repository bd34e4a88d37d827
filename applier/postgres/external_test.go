package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Users are found by their ids, and by those that other systems have for them, in
// their community and exactly.
func TestSettleFindsUsersByIDs(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	id, err := s.AddUser(t.Context(), community, postgres.NewUser{External: map[string]string{"steam": "76561198000000001", "discord": "Ann"}})
	if err != nil {
		t.Fatal(err)
	}
	by := func(key webhook.UserKey, value string) applier.Item {
		item := plan(t, "", change(webhook.Add, "coins", 1))
		item.Plan.User = applier.UserRef{By: key, Value: value}
		return item
	}
	elsewhere := by(webhook.ByID, id.String())
	other := *elsewhere.Webhook
	other.Community = "elsewhere"
	elsewhere.Webhook = &other
	for name, tc := range map[string]struct {
		item   applier.Item
		reason delivery.Reason
	}{
		"by id":                   {by(webhook.ByID, id.String()), ""},
		"by external id":          {by(webhook.External("steam"), "76561198000000001"), ""},
		"by another":              {by(webhook.External("discord"), "Ann"), ""},
		"another kind":            {by(webhook.External("discord"), "76561198000000001"), delivery.UserNotFound},
		"another case":            {by(webhook.External("discord"), "ann"), delivery.UserNotFound},
		"somebody else's":         {by(webhook.ByID, delivery.NewID().String()), delivery.UserNotFound},
		"id of another community": {elsewhere, delivery.UserNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			got := settle(t, s, tc.item)[0]
			if tc.reason == "" {
				if got.Failure != nil || got.Outcome != delivery.Applied {
					t.Errorf("settled as %+v", got)
				}
			} else if got.Failure == nil || got.Failure.Reason != tc.reason {
				t.Errorf("settled as %+v, want %s", got, tc.reason)
			}
		})
	}
	u, err := s.FindUser(t.Context(), community, id.String())
	if err != nil || u.Balances["coins"] != 3 || u.External["steam"] != "76561198000000001" || len(u.External) != 2 {
		t.Errorf("the user is %+v, %v", u, err)
	}
}

// A list finds users by all of an external id, of whatever kind and community, and asks
// for it once, not with each user.
func TestListsFindUsersByExternalIDs(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	var want []delivery.ID
	for _, u := range []struct{ community, kind, value string }{{"a", "discord", "7"}, {"a", "steam", "7"}, {"b", "steam", "77"}, {"c", "steam", "7"}} {
		id, err := s.AddUser(t.Context(), u.community, postgres.NewUser{External: map[string]string{u.kind: u.value}})
		if err != nil {
			t.Fatal(err)
		}
		if u.value == "7" {
			want = append(want, id)
		}
	}
	slices.Reverse(want) // newest first
	found, err := s.ListUsers(t.Context(), postgres.UserFilter{Search: "7", Limit: 10})
	var got []delivery.ID
	for _, u := range found {
		got = append(got, u.ID)
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	query, args := postgres.ListUsersQuery(postgres.UserFilter{Search: "7", Limit: 10})
	if plan := explain(t, db, query, args); !strings.Contains(plan, "InitPlan") || strings.Contains(plan, "SubPlan 2") {
		t.Errorf("external ids are read with each user:\n%s", plan)
	}
}
