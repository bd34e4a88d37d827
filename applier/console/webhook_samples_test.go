package console_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// An older delivery of an active webhook can be shown in the place of the newest. The preview
// and the editor's buttons go by it.
func TestAnOlderDeliveryIsChosen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	w.user("ann@example.com")
	shop, other := w.webhook("Shop"), w.webhook("Other")
	older := w.settled(shop, `{"user":"ann@example.com","coins":3}`)
	newest := w.settled(shop, `{"user":"ann@example.com","coins":40}`)
	foreign := w.settled(other, `{"user":"ann@example.com","coins":500}`)

	address := "/webhooks/" + shop.ID
	pane := w.admin.get(address + "/sample")
	if got := pane.Find(".choices a"); got.Length() != 2 || !strings.HasSuffix(got.First().AttrOr("href", ""), newest.String()) {
		t.Fatalf("there are %d to choose from: %s", got.Length(), pane.text(".choices"))
	}
	pane = w.admin.get(pane.Find(".choices a").Last().AttrOr("href", ""))
	if got := pane.text(`.tree [data-pick="coins"]`); !strings.HasPrefix(got, "3") || pane.Find(`input[name="sample"]`).AttrOr("value", "") != older.String() {
		t.Errorf("the older one is shown as %q", got)
	}
	if got := pane.Find("#catch").AttrOr("href", ""); !strings.HasSuffix(got, newest.String()) {
		t.Errorf("Catch waits for one after %q, not after the newest", got)
	}
	form := with(fields(w.admin.get(address+"/mapping")), "sample", older.String())
	if got := w.admin.post(address+"/preview", form).text(".result"); !strings.Contains(got, "Coins 543 → 546") {
		t.Errorf("the preview of the older one is %q", got)
	}
	p := w.admin.post(address, with(form, "do", "add-mapping"))
	if got := p.Find("#sample [hx-trigger=load]").AttrOr("hx-get", ""); !strings.HasSuffix(got, "of="+older.String()) {
		t.Errorf("after a click in the editor it shows %q", got)
	}
	for _, id := range []string{foreign.String(), delivery.NewID().String(), "nonsense"} {
		pane = w.admin.get(address + "/sample?of=" + id)
		if got := pane.text(`.tree [data-pick="coins"]`); !strings.HasPrefix(got, "40") || !strings.Contains(pane.text(".problem"), "This is the newest") {
			t.Errorf("%s is shown as %q", id, got)
		}
	}
}

// Of a draft there are the samples that the broker keeps, whichever console shows them.
func TestAnOlderSampleIsChosen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhookOf(`{name: Shop, auth: {}}`)
	address := "/webhooks/" + hook.ID
	var ids []string
	for _, body := range []string{`{"n":1}`, `{"n":2}`} {
		ids = append(ids, w.capture(hook, body).String())
		if len(ids) > 1 {
			break // this console has shown none of them
		}
		if p := w.signedIn("vera", admin.Viewer).get(address); p.Find(".choices").Length() > 0 {
			t.Errorf("there is a choice of one: %s", p.text(".choices"))
		}
	}
	w.capture(w.webhookOf(`{name: Other, auth: {}}`), `{"n":3}`)
	if got := w.admin.post(address+"/preview", url.Values{"sample": {ids[0]}}); strings.Contains(got.text("main"), "can no longer be read") {
		t.Errorf("a preview of a sample that was not shown: %s", got.text("main"))
	}
	form := with(fields(w.admin.get(address)), "sample", ids[0])
	p := w.admin.post(address, with(form, "do", "add-mapping"))
	if got := p.text(`.tree [data-pick="n"]`); !strings.HasPrefix(got, "1") || p.Find(".choices a").Length() != 2 {
		t.Errorf("the older one is shown as %q, of %d", got, p.Find(".choices a").Length())
	}
	if got := p.Find(`.choices [aria-current]`).AttrOr("href", ""); !strings.HasSuffix(got, ids[0]) {
		t.Errorf("the current one is %q", got)
	}
}

// The trail names all who see a sample or a delivery that came encrypted, once for each, as on
// the delivery's own page. It is not shown where the trail cannot be written.
func TestASampleThatCameEncryptedIsSeenOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop, draft := w.webhook("Shop"), w.webhookOf(`{name: A draft, auth: {}}`)
	sealed := delivery.Delivery{ID: delivery.NewID(), WebhookID: shop.ID, Revision: shop.Revision, ReceivedAt: time.Now(), Headers: []delivery.Header{{Name: "X-Encrypted", Value: "true"}}, Body: []byte(`{"n":1}`)}
	appliertest.Publish(t, w.publisher, sealed)
	sampled := sealed
	sampled.ID, sampled.WebhookID, sampled.Revision = delivery.NewID(), draft.ID, draft.Revision
	if err := w.publisher.Capture(t.Context(), sampled); err != nil {
		t.Fatal(err)
	}
	w.capture(w.webhookOf(`{name: Plain, auth: {}}`), `{"n":2}`)
	viewer := w.signedIn("vera", admin.Viewer)
	pages := []string{"/webhooks/" + shop.ID + "/sample", "/webhooks/" + draft.ID, "/webhooks/" + draft.ID + "/sample?of=" + sampled.ID.String()}
	for _, path := range append(pages, pages...) {
		if p := viewer.get(path); !strings.HasPrefix(p.text(`.tree [data-path="n"]`), "1") {
			t.Errorf("%s: %d %s", path, p.status, p.text("main"))
		}
	}
	seen := func() (lines int) {
		t.Helper()
		if err := w.DB.QueryRow("SELECT count(*) FROM audit_trail WHERE what = 'show decrypted payload' AND who = 'vera'").Scan(&lines); err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if n := seen(); n != 2 {
		t.Errorf("the trail has %d lines about two payloads", n)
	}
	w.Exec("REVOKE INSERT ON audit_trail FROM coinhook_console")
	if p := w.admin.get(pages[0]); p.Find(".tree").Length() != 0 || !strings.Contains(p.text("main"), "the audit trail cannot be written") {
		t.Errorf("without the trail: %d %s", p.status, p.text("main"))
	}
}
