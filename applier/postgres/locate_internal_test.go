package postgres

import (
	"fmt"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// The users that are remembered are bounded, and those in use stay.
func TestLocatedIsBounded(t *testing.T) {
	t.Parallel()
	var l located
	often := userKey{by: "email", community: "default", key: "often"}
	for i := range 5 * maxLocated {
		l.learn(map[userKey]delivery.ID{{by: "email", community: "default", key: fmt.Sprint(i)}: {1}})
		if i%(maxLocated/2) == 0 {
			l.learn(map[userKey]delivery.ID{often: {2}})
		}
		if n := len(l.recent) + len(l.older); n > 2*maxLocated {
			t.Fatalf("%d users are remembered after %d", n, i+1)
		}
	}
	ask := func(email string) (id delivery.ID, known bool) {
		ids := make([]delivery.ID, 1)
		missing := l.of([]applier.Item{{
			Delivery: &delivery.Delivery{}, Webhook: &webhook.Webhook{Record: webhook.Record{Definition: webhook.Definition{Community: "default"}}},
			Plan: applier.Plan{User: applier.UserRef{By: webhook.ByEmail, Value: email}},
		}}, ids)
		return ids[0], len(missing) == 0
	}
	if id, known := ask("often"); !known || id != (delivery.ID{2}) {
		t.Errorf("a user in use was forgotten: %v, %t", id, known)
	}
	if _, known := ask("never"); known {
		t.Error("a user is known that was never seen")
	}
}
