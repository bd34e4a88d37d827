package postgres_test

import (
	"testing"

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
