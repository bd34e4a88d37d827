package cli_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// TestAWebhookThatWasDeletedByMistakeComesBack: what was accepted and not executed by
// then is not lost.
func TestAWebhookThatWasDeletedByMistakeComesBack(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.write("shop.yaml", shopYAML)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")
	if r := i.run("webhooks", "undelete", "Shop"); r.code != 1 || !strings.Contains(r.stderr, "the webhook is not deleted") {
		t.Errorf("undeleted what is there: %+v", r)
	}
	before, err := broker.NewDefinitions(i.conn).Get(t.Context(), shop.ID)
	if err != nil {
		t.Fatal(err)
	}
	id := i.publish(shop.ID, 0, `{"customer":{"email":"a@example.com"},"coins":5}`)
	if r := i.run("webhooks", "delete", "Shop", "--yes"); r.code != 0 || !strings.Contains(r.stdout, "coinhook webhooks undelete "+shop.ID) {
		t.Fatalf("deleted: %+v", r)
	}
	i.settleAll()
	var d deliveryJSON
	if i.json(&d, "deliveries", "show", id.String()); d.Reason == nil || *d.Reason != string(delivery.WebhookDeleted) {
		t.Fatalf("the pending delivery of the deleted webhook: %+v", d)
	}

	var back webhookJSON
	if i.json(&back, "webhooks", "undelete", "Shop"); back.ID != shop.ID || back.State != "active" || back.Version != 3 {
		t.Errorf("back as %+v", back)
	}
	after, err := broker.NewDefinitions(i.conn).Get(t.Context(), shop.ID)
	if err != nil || after.DeletedAt != nil || len(after.APIKeys) != 1 || after.APIKeys[0] != before.APIKeys[0] {
		t.Errorf("back with the keys %+v, want %+v; %v", after.APIKeys, before.APIKeys, err)
	}
	stop := i.startApplier()
	defer stop()
	i.json(&map[string]any{}, "dlq", "replay", "--webhook", "Shop", "--reason", "webhook_deleted")
	if got := i.coins("a@example.com"); got != "5" {
		t.Errorf("%s coins after the replay, want 5", got)
	}
}

func TestAWebhookComesBackOnlyToAFreeName(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.write("shop.yaml", shopYAML)
	var old, next webhookJSON
	i.json(&old, "webhooks", "apply", "-f", "shop.yaml")
	i.json(&map[string]string{}, "webhooks", "delete", "Shop")
	i.json(&next, "webhooks", "apply", "-f", "shop.yaml")
	if r := i.run("webhooks", "undelete", old.ID); r.code != 1 || !strings.Contains(r.stderr, "another webhook has this name") {
		t.Errorf("undeleted beside another of its name: %+v", r)
	}
	i.json(&map[string]string{}, "webhooks", "delete", next.ID)
	var back webhookJSON
	if i.json(&back, "webhooks", "undelete", old.ID); back.ID != old.ID {
		t.Errorf("back as %+v", back)
	}
	var shown webhookJSON
	if i.json(&shown, "webhooks", "show", "Shop"); shown.ID != old.ID {
		t.Errorf("the name is that of %s, want %s", shown.ID, old.ID)
	}
}
