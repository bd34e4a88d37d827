package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// A sender that is known, from nothing to a balance by clicks alone: who sends, the draft
// with a secret to give to the sender, active, and a signed request that arrives.
func TestASenderFromNothingToABalanceByClicks(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t).newWorld(t)
	w.community = "default"
	w.addUsers(t, "ada")
	b := w.newBrowser(t)
	b.signInAsAdmin(w.stack)

	b.clickText("Webhooks")
	b.clickText("New webhook")
	b.await("Who sends?", "Shops and payments")
	b.clickText("GitHub")
	b.await("New webhook for GitHub")
	b.clickText("Create the draft")
	b.await("Copy this now", "At GitHub", "Paste this webhook's URL as the payload URL", "example of what GitHub sends", "ada@example.com: XP 0 → 50")
	if secret := b.text("#secret"); len(secret) < 32 {
		t.Errorf("the secret for GitHub is %q", secret)
	}
	b.clickText("Activate")
	b.await("● active")
	b.clickText("Send a test")
	b.clickText("Send the test")
	b.await("Answered 202")
	b.clickText("Histories")
	b.await("GitHub pull requests", "XP +50 → 50", "success")
	w.wantBalances(t, "ada", "0", "50")
}

// A Shopify order by clicks and fields alone: the lines of a test order are mapped by SKU and
// quantity, a refunded line gives nothing, and the same order again is a duplicate by its
// composite key.
func TestAShopifyOrderByClicks(t *testing.T) {
	t.Parallel()
	const order = `{"id":5501234567890,"email":"ada@example.com","line_items":[` +
		`{"sku":"gems_500","quantity":2,"current_quantity":2},{"sku":"gems_1200","quantity":1,"current_quantity":0},` +
		`{"sku":"gems_90","quantity":3,"current_quantity":3}]}`
	w := newConsoleStack(t).newWorld(t)
	w.community = "default"
	w.addUsers(t, "ada")
	b := w.newBrowser(t)
	b.signInAsAdmin(w.stack)

	b.open("/webhooks/new")
	b.clickText("Shopify")
	b.fill("#secret", "a secret of the shop")
	b.clickText("Create the draft")
	b.await("ada@example.com: Coins 0 → 49")
	b.sendTest(order)
	b.await("It is captured")
	b.clickText("Map its values")
	b.await("Caught a sample")
	b.click(`button[value="remove-mapping.0"]`)
	b.await("Add the first one")
	b.click("#add-list")
	field := func(name string) string { return `#mappings\.0\.` + strings.ReplaceAll(name, ".", `\.`) }
	b.awaitValues(map[string]string{"each": "line_items", "value": "sku", "times": "current_quantity", "lookup.2.key": "gems_90", "target": ""})
	b.choose(field("target"), "Coins")
	for row, amount := range []string{"1200", "100", "90"} { // of gems_1200, gems_500, gems_90
		b.fill(field(fmt.Sprintf("lookup.%d.value", row)), amount)
	}
	b.fill(field("default"), "0")
	// A click in the sample writes the path from the line.
	b.click(`button[value="add-when.0"]`)
	b.click(field("when.0.name"))
	b.click(`#sample button[data-pick="email"]`)
	b.await("email is not in a line of line_items")
	b.click(`#sample button[data-pick="line_items[0].current_quantity"]`)
	b.awaitValues(map[string]string{"when.0.name": "current_quantity", "each": "line_items"})
	b.choose(field("when.0.test"), "is greater than")
	b.fill(field("when.0.value"), "0")
	b.choose("#idempotency", "several values")
	b.click(`#retry\.0\.name`)
	b.click(`#sample button[data-pick="id"]`)
	b.choose(`#retry\.1\.from`, "headers")
	b.fill(`#retry\.1\.name`, "X-Shopify-Topic")
	b.click(`button[value="add-any-condition"]`)
	b.click(`#when\.1\.any\.0\.name`)
	b.click(`#sample button[data-pick="email"]`)
	b.awaitJS("two picked paths", `["retry.0.name", "when.1.any.0.name"].map((id) => document.getElementById(id).value).join() === "id,email"`)
	b.fill(`#when\.1\.any\.0\.value`, "bob@example.com")
	b.fill(`#when\.1\.any\.1\.name`, "id")
	b.choose(`#when\.1\.any\.1\.test`, "is there")
	b.await("ada@example.com: Coins 0 → 200, Coins 200 → 470")
	b.clickText("Activate")
	b.await("● active")

	for range 2 {
		b.sendTest(order)
		b.await("Answered 202")
	}
	b.clickText("Histories")
	b.await("Coins +200 → 200, Coins +270 → 470", "duplicate")
	w.wantBalances(t, "ada", "470", "0")
}

// A mapping of a list that is drawn by hand: a click on a value of a line gives the list
// first, then the value's place in the line, and a button the products that the sample has.
func TestTheLinesOfAnOrderArePickedByHand(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t).newWorld(t)
	w.community = "default"
	w.addUsers(t, "ada")
	h := w.hook(t, "Shop orders", "active", "user: {by: email, path: email}\n"+addOne)
	w.awaitRows(t, h.deliver(t, `{"email":"ada@example.com","order":{"odd lines":[{"no":1,"of":{"an article":"gold"}},{"no":2,"of":{"an article":"silver"}}]}}`))
	b := w.newBrowser(t)
	b.signInAsAdmin(w.stack)
	b.open("/webhooks/" + h.ID + "/mapping")
	b.await("Caught a delivery")
	b.click(`button[value="remove-mapping.0"]`)
	b.await("Add the first one")
	b.click("#add-list") // the names are none that a list of products is known by
	b.awaitValues(map[string]string{"each": "", "value": ""})
	product := `#sample button[data-pick="order['odd lines'][1].of['an article']"]`
	b.click(`#mappings\.0\.value`)
	b.click(product)
	b.awaitValues(map[string]string{"each": "order['odd lines']", "value": ""})
	b.click(product)
	b.awaitValues(map[string]string{"each": "order['odd lines']", "value": "of['an article']"})
	b.click("[data-undo]")
	b.awaitValues(map[string]string{"each": "order['odd lines']", "value": ""})
	b.click(product)
	b.click(`button[value="add-seen.0"]`)
	b.awaitValues(map[string]string{"lookup.0.key": "gold", "lookup.1.key": "silver"})
	b.choose(`#mappings\.0\.target`, "XP")
	b.fill(`#mappings\.0\.lookup\.0\.value`, "7")
	b.await("XP 0 → 7")
}

// awaitValues waits until the fields of the first mapping have these values.
func (b *browser) awaitValues(want map[string]string) {
	b.t.Helper()
	for name, value := range want {
		b.awaitJS(name+" "+value, fmt.Sprintf(`document.getElementById(%q)?.value === %q`, "mappings.0."+name, value))
	}
}

// sendTest sends a payload from the page of the webhook that is open.
func (b *browser) sendTest(payload string) {
	b.t.Helper()
	b.clickText("Send a test")
	b.awaitJS("an empty form", `location.pathname.endsWith("/test") && document.readyState === "complete" && !document.querySelector("#answer")`)
	b.fill("textarea[name=payload]", payload)
	b.clickText("Send the test")
}
