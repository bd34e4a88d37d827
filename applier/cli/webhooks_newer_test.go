package cli_test

import (
	"strings"
	"testing"
)

// TestWhatANewerVersionSavedIsLeftAlone: the command neither drops a key that it does
// not know nor takes an unknown format for an empty definition.
func TestWhatANewerVersionSavedIsLeftAlone(t *testing.T) {
	t.Parallel()
	saves := [][]string{
		{"webhooks", "apply", "-f", "shop.yaml"},
		{"webhooks", "apply", "-f", "shop.yaml", "--dry-run"},
		{"webhooks", "disable", "Shop"},
		{"webhooks", "rotate-key", "Shop"},
		{"webhooks", "set-encryption", "Shop", "gcm"},
		{"webhooks", "delete", "Shop"},
	}
	reads := [][]string{{"webhooks", "show", "Shop"}, {"webhooks", "export", "Shop"}}
	for name, tc := range map[string]struct {
		key     string
		refused [][]string
		works   [][]string
	}{
		"a key that it does not know": {`"colour":"red"`, saves, reads},
		"a newer format":              {`"format":99`, append(reads[:2:2], saves...), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInstallation(t)
			i.write("shop.yaml", shopYAML)
			var shop webhookJSON
			i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
			i.write("shop.yaml", strings.Replace(shopYAML, "path: coins", "path: order.coins", 1))
			i.server.SaveAsNewer(shop.ID, tc.key)
			want := i.server.Record(shop.ID)
			for _, args := range tc.refused {
				if r := i.run(append(args, "--yes")...); r.code != 1 || !strings.Contains(r.stderr, "a newer version of Coinhook has saved this webhook: update this program") {
					t.Errorf("%v: %+v", args, r)
				}
			}
			for _, args := range append(tc.works, []string{"webhooks", "list"}, []string{"deliveries", "list", "--webhook", "Shop"}) {
				if r := i.run(args...); r.code != 0 {
					t.Errorf("%v: %+v", args, r)
				}
			}
			if got := i.server.Record(shop.ID); got != want {
				t.Errorf("the record is now %s\nand was %s", got, want)
			}
		})
	}
}
