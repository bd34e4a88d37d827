package e2e

import (
	"testing"
	"time"
	"unicode/utf8"
)

// hand is a browser that is used with clicks and keys alone, and counts them.
type hand struct {
	*browser
	clicks, keys int
}

func (h *hand) click(selector string) {
	h.t.Helper()
	h.browser.click(selector)
	h.clicks++
}

func (h *hand) clickText(text string) {
	h.t.Helper()
	h.browser.clickText(text)
	h.clicks++
}

// fill counts a click into the field and a key a character.
func (h *hand) fill(selector, text string) {
	h.t.Helper()
	h.browser.fill(selector, text)
	h.clicks++
	h.keys += utf8.RuneCountInString(text)
}

func (h *hand) choose(selector, text string) {
	h.t.Helper()
	h.browser.choose(selector, text)
	h.clicks++
	h.keys += utf8.RuneCountInString(text)
}

func (h *hand) press(keys string) {
	h.t.Helper()
	h.browser.press(keys)
	h.keys++
}

// seedPathWithin is what the way from nothing to a balance may take.
const seedPathWithin = 3 * time.Minute

// From an empty installation to a balance with a browser alone: a community, a currency, a
// user, a webhook, a sample, the mapping picked in it, active, a test request.
func TestTheWayFromNothingToABalance(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	h := &hand{browser: s.newBrowser(t)}
	h.signInAsAdmin(s)
	began := time.Now()

	h.clickText("Settings")
	h.clickText("Add a community")
	h.fill("#new-community input[name=name]", "north")
	h.press("\r")
	h.await("The community north is there")
	h.clickText("Add a currency")
	h.fill("input[name=code][required]", "gems")
	h.press("\r")
	h.awaitJS("the currency", `[...document.querySelectorAll("td code")].some((code) => code.textContent === "gems")`)

	h.clickText("Users")
	h.await("There are no users yet")
	h.clickText("Add a user")
	h.fill("form[action='/users'][method=post] input[name=email]", "ada@example.com")
	h.press("\r")
	h.await("The user was added.")

	h.clickText("Webhooks")
	h.clickText("New webhook")
	h.clickText("Something else")
	h.fill("#name", "Shop")
	h.choose("#community", "north")
	h.clickText("Create the draft")
	h.await("Copy this now")
	key := h.text("#api-key")
	send := func() {
		h.clickText("Send a test")
		h.awaitJS("an empty form", `location.pathname.endsWith("/test") && document.readyState === "complete" && !document.querySelector("#answer")`)
		h.fill("textarea[name=payload]", `{"user":"ada@example.com","gems":50}`)
		h.fill("input[name=api_key]", key)
		h.clickText("Send the test")
	}
	send()
	h.await("It is captured")
	h.clickText("Map its values")
	h.await("Caught a sample")
	h.click(`#user\.path`)
	h.click(`#sample .tree button[data-pick="user"]`)
	h.click("#add-mapping")
	h.choose(`#mappings\.0\.target`, "gems")
	h.click(`#mappings\.0\.value`)
	h.click(`#sample .tree button[data-pick="gems"]`)
	h.await("ada@example.com: gems 0 → 50")
	h.clickText("Activate")
	h.await("● active")

	send()
	h.await("Answered 202", "gems +50 → 50")
	h.click("#outcome a[href^='/users/']")
	h.await("ada@example.com", "Balances", "50")
	took := time.Since(began)
	t.Logf("from nothing to a balance: %.1f s, %d clicks, %d keys", took.Seconds(), h.clicks, h.keys)
	if took > seedPathWithin {
		t.Errorf("it took %s, want less than %s", took, seedPathWithin)
	}
	w := &world{stack: s, community: "north"}
	if got := w.user(t, "ada@example.com").Balances["gems"]; got != "50" {
		t.Errorf("ada has %s gems, want 50", got)
	}
}
