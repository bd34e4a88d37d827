package cli_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestAnUnreadableRecordIsNamedAndDeleted: commands about other webhooks go on.
func TestAnUnreadableRecordIsNamedAndDeleted(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.write("shop.yaml", shopYAML)
	var shop, back webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
	bad := webhook.NewID()
	i.server.SaveWebhook(bad, []byte(`{"id":`))

	if r := i.run("webhooks", "list"); r.code != 0 || !strings.Contains(r.stdout, shop.ID) || !strings.Contains(r.stderr, bad) {
		t.Errorf("list: %+v", r)
	}
	var all []webhookJSON
	if i.json(&all, "webhooks", "list"); len(all) != 1 || all[0].ID != shop.ID {
		t.Errorf("list as JSON: %+v", all)
	}
	for _, args := range [][]string{{"webhooks", "export", "--all", "out"}, {"secrets", "rotate", "--yes"}} {
		if r := i.run(args...); r.code != 1 || !strings.Contains(r.stderr+r.stdout, bad) {
			t.Errorf("%v leaves something out, and says %+v", args, r)
		}
	}
	for _, args := range [][]string{{"webhooks", "show", "Shop"}, {"webhooks", "disable", "Shop"}, {"webhooks", "enable", "Shop"}, {"deliveries", "list", "--webhook", "Shop"}, {"dlq", "list", "--webhook", "Shop"}} {
		if r := i.run(args...); r.code != 0 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if r := i.run("webhooks", "show", bad); r.code != 1 || !strings.Contains(r.stderr, "coinhook webhooks delete") {
		t.Errorf("show of the unreadable one: %+v", r)
	}
	if r := i.run("webhooks", "delete", bad, "--yes"); r.code != 0 {
		t.Errorf("delete: %+v", r)
	}
	if r := i.run("webhooks", "list"); r.code != 0 || strings.Contains(r.stdout+r.stderr, bad) {
		t.Errorf("list after it: %+v", r)
	}
	if r := i.run("webhooks", "delete", webhook.NewID(), "--yes"); r.code != 1 || !strings.Contains(r.stderr, "no such webhook") {
		t.Errorf("delete of what is not there: %+v", r)
	}

	// A record that was overwritten: the version before comes back.
	i.server.SaveWebhook(shop.ID, []byte(`{"id":`))
	if r := i.run("webhooks", "delete", shop.ID, "--yes"); r.code != 0 {
		t.Errorf("delete: %+v", r)
	}
	if i.json(&back, "webhooks", "undelete", shop.ID); back.ID != shop.ID || back.Name != "Shop" {
		t.Errorf("back as %+v", back)
	}
	if r := i.run("trail", "list", "-o", "json"); !strings.Contains(r.stdout, bad) {
		t.Errorf("the trail has %+v", r)
	}
}
