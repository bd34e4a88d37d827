package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// A mapping of a list begins with the lines that the sample has.
func TestAMappingOfAListBeginsWithTheSample(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address := w.admin.post("/webhooks", url.Values{"name": {"Orders"}, "encryption": {"none"}}).header.Get("Location")
	w.capture(w.reread(strings.TrimPrefix(address, "/webhooks/")), `{"order":{"lines":[{"sku":"gold","qty":2},{"sku":"silver","qty":1}]}}`)
	p := w.admin.post(address, with(fields(w.admin.get(address)), "do", "add-list"))
	const want = `currency: coins
operator: add
each: order.lines
value:
  path: sku
  lookup:
    gold: "0"
    silver: "0"
  times: {path: qty}`
	if diff := cmp.Diff(want, strings.TrimPrefix(p.Find(`[name="mappings.0.yaml"]`).Text(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An order is mapped by clicks: a mapping of a list is one field of YAML. What is
// wrong with it is said there, and what the fields cannot show stays.
func TestAMappingOfAListIsMadeAndKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	p := w.admin.post("/webhooks", url.Values{"name": {"Orders"}, "api_key": {"on"}, "encryption": {"none"}})
	address := p.Find("[data-address]").AttrOr("data-address", "")
	id := strings.TrimPrefix(address, "/webhooks/")
	p = w.admin.post(address, with(fields(w.admin.get(address)), "user_path", "customer.email", "do", "add-list"))
	if !strings.Contains(p.Find(`[name="mappings.0.yaml"]`).Text(), "each: line_items") {
		t.Fatalf("no mapping of a list was added: %s", p.text("#mappings"))
	}
	form := with(fields(p), "retry", "several", "retry_name", "[{path: id}, {header: x-topic}]")
	refused := w.admin.post(address, with(form, "mappings.0.yaml", "currency: coins\noperator: add\neach: a\nvalue: {path: sku, loockup: {a: 1}}", "do", "save"))
	if refused.status != http.StatusUnprocessableEntity || !strings.Contains(refused.Find(`[id="mappings.0.yaml-error"]`).Text(), `Line 4: value: the key "loockup" is not known`) {
		t.Errorf("%d: %s", refused.status, refused.text("#mappings"))
	}
	const order = `{"id":1,"customer":{"email":"alice@example.com"},"line_items":[
		{"sku":"gems_500","quantity":2},{"sku":"gems_500","quantity":9,"refunded":true},{"sku":"shirt","quantity":1}]}`
	form = with(fields(p), "retry", "several", "retry_name", "[{path: id}, {path: customer.email}]")
	preview := w.admin.post(address+"/preview", with(form, "payload", order))
	if !strings.Contains(preview.text(".result.success"), "alice@example.com: coins 0 → 1000") {
		t.Errorf("the preview says %q", preview.text("main"))
	}
	p = w.admin.post(address, with(form, "do", "activate"))
	saved := w.reread(id)
	if p.status != http.StatusSeeOther || saved.State != webhook.Active || saved.Mappings[0].Each != "line_items" || len(saved.Idempotency.Composite) != 2 {
		t.Fatalf("%d %s: %+v", p.status, p.text("main"), saved.Definition)
	}
	p = w.admin.get(address)
	w.admin.post(address, with(fields(p), "do", "save"))
	if diff := cmp.Diff(saved.Definition, w.reread(id).Definition, cmp.AllowUnexported(webhook.Scalar{})); diff != "" {
		t.Errorf("saved again it differs: %s", diff)
	}
}
