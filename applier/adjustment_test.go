package applier_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
)

// The key is stored with the community in front, and shown as the admin gave it.
func TestAnAdjustmentIsShownWithItsAdminsKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "k1", "k\"1\x00", "arena\x00k1"} {
		given := applier.Adjustment{Community: "arena", User: "u", Currency: "coins", Operator: "add", Amount: "5", Note: `"key":"arena\u0000`, Key: key}
		d, err := given.Delivery()
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(applier.ShowAdjustment("arena", d.Body))); diff != "" {
			t.Errorf("%q: %s", key, diff)
		}
	}
	if applier.ShowAdjustment("arena", nil) != nil {
		t.Error("no body is one")
	}
}
