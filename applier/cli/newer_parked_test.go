package cli_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// TestADeliveryOfANewerVersionIsParked, also where its webhook is not known.
func TestADeliveryOfANewerVersionIsParked(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"a known webhook": true, "an unknown webhook": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInstallation(t)
			var shop webhookJSON
			i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
			of := shop.ID
			if !known {
				of = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"
			}
			id := delivery.NewID()
			i.server.PublishNewer(id, of)
			defer i.startApplier()()
			var shown lineJSON
			appliertest.Eventually(t, "it is shown as parked", func() bool {
				i.json(&shown, "deliveries", "show", id.String())
				return shown.Pending != nil && shown.Pending.State == "parked"
			})
			if *shown.Pending.Why != "newer_format" {
				t.Errorf("it waits for %s", *shown.Pending.Why)
			}
			if r := i.run("deliveries", "show", id.String()); !strings.Contains(r.stdout, "written by a newer version of Coinhook: update this program") {
				t.Errorf("shown as\n%s", r.stdout)
			}
		})
	}
}
