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
	got := fields(p)
	for name, want := range map[string]string{
		"list": "1", "each": "order.lines", "source": "path", "value": "sku", "times": "qty", "times_from": "path", "target": "", "operator": "add",
		"lookup.0.key": "gold", "lookup.0.value": "0", "lookup.1.key": "silver", "lookup.1.value": "0",
	} {
		if got.Get("mappings.0."+name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get("mappings.0."+name), want)
		}
	}
	// One that was drawn by hand gets the values that the sample has.
	p = w.admin.post(address, with(got, "mappings.0.lookup.0.value", "5", "mappings.0.lookup.1.key", "bronze", "do", "add-seen.0"))
	got = fields(p)
	if got.Get("mappings.0.lookup.0.value") != "5" || got.Get("mappings.0.lookup.1.key") != "bronze" || got.Get("mappings.0.lookup.2.key") != "silver" || got.Has("mappings.0.lookup.3.key") {
		t.Errorf("after the sample's values were added the form has %v", got)
	}
}

// An order is mapped by fields. What is wrong is said at its field, and the definition that
// they make is shown as the same fields.
func TestAMappingOfAListIsMadeAndKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	p := w.admin.post("/webhooks", url.Values{"name": {"Orders"}, "api_key": {"on"}, "encryption": {"none"}})
	address := p.Find("[data-address]").AttrOr("data-address", "")
	id := strings.TrimPrefix(address, "/webhooks/")
	form := with(fields(w.admin.get(address)), "user_path", "customer.email")
	for _, do := range []string{"add-list", "add-lookup.0", "add-lookup.0", "add-when.0", "add-key"} {
		form = fields(w.admin.post(address, with(form, "do", do)))
	}
	refused := w.admin.post(address, with(form, "mappings.0.target", "currency:coins", "mappings.0.lookup.0.key", "shirt", "mappings.0.lookup.1.key", "shirt",
		"mappings.0.lookup.1.value", "many", "mappings.0.value", "sku[", "mappings.0.when.0.name", "a", "do", "save"))
	for part, want := range map[string]string{"each": "The list is missing", "lookup": `"shirt" stands twice`, "value": "column"} {
		if got := refused.Find(`[id="mappings.0.` + part + `-error"]`).Text(); refused.status != http.StatusUnprocessableEntity || !strings.Contains(got, want) {
			t.Errorf("%d, %s: %q, want %q", refused.status, part, got, want)
		}
	}
	form = with(form, "mappings.0.each", "line_items", "mappings.0.target", "currency:coins", "mappings.0.value", "sku", "mappings.0.times", "quantity",
		"mappings.0.lookup.0.key", "gems_500", "mappings.0.lookup.0.value", "500", "mappings.0.lookup.1.key", "", "mappings.0.lookup.1.value", "", "mappings.0.default", "0",
		"mappings.0.when.0.name", "refunded", "mappings.0.when.0.test", "not_equals", "mappings.0.when.0.value", "true",
		"retry", "several", "retry.0.name", "id", "retry.2.name", "customer.email") // a row that is empty does not count
	const order = `{"id":1,"customer":{"email":"alice@example.com"},"line_items":[
		{"sku":"gems_500","quantity":2},{"sku":"gems_500","quantity":9,"refunded":true},{"sku":"shirt","quantity":1}]}`
	preview := w.admin.post(address+"/preview", with(form, "payload", order))
	if !strings.Contains(preview.text(".result.success"), "alice@example.com: Coins 0 → 1 000") {
		t.Errorf("the preview says %q", preview.text("main"))
	}
	p = w.admin.post(address, with(form, "do", "activate"))
	saved := w.reread(id)
	if p.status != http.StatusSeeOther || saved.State != webhook.Active || saved.Mappings[0].Each != "line_items" || len(saved.Idempotency.Composite) != 2 {
		t.Fatalf("%d %s: %+v", p.status, p.text("main"), saved.Definition)
	}
	p = w.admin.get(address + "/mapping")
	if p.Find(`[name$=".yaml"]`).Length() > 0 {
		t.Errorf("the mapping is shown as YAML: %s", p.text("#mappings"))
	}
	w.admin.post(address, with(fields(p), "do", "save"))
	if diff := cmp.Diff(saved.Definition, w.reread(id).Definition, cmp.AllowUnexported(webhook.Scalar{})); diff != "" {
		t.Errorf("saved again it differs: %s", diff)
	}
}

// Conditions of which one must hold, and a key of several values, are rows that are added
// and removed. What is wrong is said at its row.
func TestAlternativesAndAKeyOfSeveralValuesAreRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhookOf(`{name: Shop, auth: {}, user: {by: email, path: user}, mappings: [{currency: coins, operator: add, value: {path: coins}}]}`)
	address := "/webhooks/" + hook.ID
	form := fields(w.admin.get(address))
	for _, do := range []string{"add-any-condition", "add-one-condition.0", "remove-one-condition.0.1", "add-any-when.0", "add-key", "remove-key.0"} {
		p := w.admin.post(address, with(form, "retry", "several", "do", do))
		if focus := p.Find("[data-focus]"); strings.HasPrefix(do, "add") && focus.AttrOr("data-path", "") == "" {
			t.Errorf("%s leads to no path", do)
		}
		form = fields(p)
	}
	form = with(form, "when.0.any.0.name", "plan", "when.0.any.0.value", "gold", "when.0.any.1.on", "header", "when.0.any.1.name", "x-event", "when.0.any.1.test", "exists",
		"mappings.0.when.0.any.0.name", "a", "mappings.0.when.0.any.0.value", "1", "mappings.0.when.0.any.1.name", "b", "mappings.0.when.0.any.1.value", "2",
		"retry.0.name", "id", "retry.1.from", "header", "retry.1.name", "x-topic")
	refused := w.admin.post(address, with(form, "when.0.any.0.name", "plan[", "mappings.0.when.0.any.1.name", "b[", "retry.1.name", "no header", "do", "save"))
	for _, id := range []string{"when.0.any.0.name", "mappings.0.when.0.any.1.name", "retry.1.name"} {
		if refused.status != http.StatusUnprocessableEntity || refused.text(`[id="`+id+`-error"]`) == "" || refused.Find(`#problems a[href="#`+id+`"]`).Length() != 1 {
			t.Errorf("%d, %s: %s", refused.status, id, refused.text("#problems"))
		}
	}
	form = with(form, "when.0.any.0.name", "plan", "mappings.0.when.0.any.1.name", "b", "retry.1.name", "x-topic")
	if p := w.admin.post(address, with(form, "do", "save")); p.status != http.StatusSeeOther {
		t.Fatalf("%d %s", p.status, p.text("#problems"))
	}
	got := w.reread(hook.ID).Definition
	two := []webhook.Condition{{Path: "plan", Equals: webhook.String("gold")}, {Header: "X-Event", Exists: new(true)}}
	if diff := cmp.Diff([]webhook.Condition{{Any: two}}, got.When, cmp.AllowUnexported(webhook.Scalar{})); diff != "" {
		t.Errorf("the conditions: %s", diff)
	}
	if diff := cmp.Diff([]webhook.Source{{Path: "id"}, {Header: "X-Topic"}}, got.Idempotency.Composite); diff != "" || len(got.Mappings[0].When[0].Any) != 2 {
		t.Errorf("the key: %s, and the mapping is %+v", diff, got.Mappings[0])
	}
	p := w.admin.get(address)
	if p.Find(`[name$=".yaml"]`).Length() != 0 {
		t.Error("a part is shown as YAML")
	}
	w.admin.post(address, with(fields(p), "do", "save"))
	if diff := cmp.Diff(got, w.reread(hook.ID).Definition, cmp.AllowUnexported(webhook.Scalar{})); diff != "" {
		t.Errorf("saved again it differs: %s", diff)
	}
	// The last alternative goes with its condition, and a key of nothing is refused.
	form = fields(w.admin.get(address))
	for _, do := range []string{"remove-one-condition.0.0", "remove-one-condition.0.0"} {
		form = fields(w.admin.post(address, with(form, "do", do)))
	}
	if form.Has("when.0.any") {
		t.Error("the condition has no alternative any more, and is there")
	}
	p = w.admin.post(address, with(form, "retry.0.name", "", "retry.1.name", " ", "do", "save"))
	if got := p.text("#idempotency-error"); p.status != http.StatusUnprocessableEntity || !strings.Contains(got, "Name the values") {
		t.Errorf("a key of nothing: %d %q", p.status, got)
	}
}

// A mapping that fields cannot hold is YAML, and its problems are shown there.
func TestAMappingThatFieldsCannotHoldIsYAML(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.webhookOf(`{name: Shop, auth: {}, user: {by: email, path: user},
mappings: [{currency: coins, operator: add, value: {path: note, lookup: {"two\nlines": "5"}}}]}`)
	address := "/webhooks/" + hook.ID
	form := fields(w.admin.get(address))
	if !strings.Contains(form.Get("mappings.0.yaml"), `"two\nlines": "5"`) {
		t.Fatalf("the form has %v", form)
	}
	refused := w.admin.post(address, with(form, "mappings.0.yaml", "currency: coins\noperator: add\neach: a\nvalue: {path: sku, loockup: {a: 1}}", "do", "save"))
	if refused.status != http.StatusUnprocessableEntity || !strings.Contains(refused.Find(`[id="mappings.0.yaml-error"]`).Text(), `Line 4: value: the key "loockup" is not known`) {
		t.Errorf("%d: %s", refused.status, refused.text("#mappings"))
	}
}
