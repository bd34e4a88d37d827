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

// An edited adjustment has the community, and a key of the community, that it was made in.
func TestAnEditedAdjustmentStaysInItsCommunity(t *testing.T) {
	t.Parallel()
	for body, stays := range map[string]bool{
		`{"community":"arena","amount":"7"}`:                   true,
		`{"community":"arena","key":"arena\u0000k1"}`:          true,
		`{"community":"arena","key":"k1"}`:                     false,
		`{"community":"arena","key":"other\u0000k1"}`:          false,
		`{"community":"other"}`:                                false,
		`{"amount":"7"}`:                                       false,
		`{"community":"arena","Community":"other"}`:            false,
		`{"community":"arena","key":"","KEY":"other\u0000k1"}`: false,
		`no adjustment`:                                        true, // and fails
	} {
		if err := applier.StaysIn("arena", []byte(body)); (err == nil) != stays {
			t.Errorf("%s: %v", body, err)
		}
	}
}
