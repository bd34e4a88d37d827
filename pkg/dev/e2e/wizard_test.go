package e2e

import (
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
	b.await("Copy this now", "At GitHub", "Paste this webhook's URL as the payload URL", "example of what GitHub sends", "ada@example.com: xp 0 → 50")
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

// A Shopify order by clicks: the lines of a test order are mapped by SKU and quantity, a
// refunded line gives nothing, and the same order again is a duplicate by its composite key.
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
	b.await("ada@example.com: coins 0 → 49")
	b.sendTest(order)
	b.await("It is captured")
	b.clickText("Map its values")
	b.await("Caught a sample")
	b.clickText("Remove")
	b.await("Add the first one")
	b.click("#add-list")
	b.await("Field mapping 1")
	mapping := strings.NewReplacer(`gems_500: "0"`, `gems_500: "100"`, `gems_1200: "0"`, `gems_1200: "1200"`, `gems_90: "0"`, `gems_90: "90"`).
		Replace(strings.TrimSpace(b.eval(`document.getElementById("mappings.0.yaml").value`)))
	b.fill(`#mappings\.0\.yaml`, mapping)
	b.choose("#idempotency", "several values")
	b.fill("#retry_name", "[{path: id}, {header: X-Shopify-Topic}]")
	b.await("ada@example.com: coins 0 → 200, coins 200 → 470")
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

// sendTest sends a payload from the page of the webhook that is open.
func (b *browser) sendTest(payload string) {
	b.t.Helper()
	b.clickText("Send a test")
	b.awaitJS("an empty form", `location.pathname.endsWith("/test") && document.readyState === "complete" && !document.querySelector("#answer")`)
	b.fill("textarea[name=payload]", payload)
	b.clickText("Send the test")
}
