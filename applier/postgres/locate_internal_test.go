package postgres

import (
	"fmt"
	"testing"

	"github.com/coinhook/coinhook/pkg/delivery"
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
	asked := map[userKey]delivery.ID{often: {}}
	if l.fill(asked); asked[often] != (delivery.ID{2}) {
		t.Error("a user in use was forgotten")
	}
}
