package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestAWebhookThatANewerVersionSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rec := webhook.Record{
		ID: webhook.NewID(), Format: webhook.RecordFormat + 1,
		Definition: webhook.Definition{Name: "Shop", Community: "default", State: webhook.Active},
	}
	saved, err := broker.NewDefinitions(w.Conn).Create(t.Context(), rec, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if p := w.admin.get("/webhooks"); !strings.Contains(p.text("#webhooks"), "saved by a newer version of Coinhook") {
		t.Errorf("listed as %q", p.text("#webhooks"))
	}
	address := "/webhooks/" + saved.ID
	for _, p := range []*page{
		w.admin.get(address),
		w.admin.get(address + "/versions"),
		w.admin.post(address+"/state", url.Values{"state": {"disabled"}}),
		w.admin.post(address+"/delete", url.Values{"name": {"Shop"}}),
	} {
		if p.status != http.StatusConflict || !strings.Contains(p.text("main"), "A newer version of Coinhook has saved this webhook") {
			t.Errorf("answered %d: %q", p.status, p.text("main"))
		}
	}
	if p := w.admin.get("/deliveries?webhook=" + saved.ID); p.status != http.StatusOK {
		t.Errorf("its deliveries: %d", p.status)
	}
}
