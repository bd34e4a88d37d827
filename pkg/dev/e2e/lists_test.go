package e2e

import "testing"

// A list that is read does not move: rows that come meanwhile wait behind a button.
func TestNewRowsWaitWhileSomebodyReads(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	w := &world{stack: s, community: "default"}
	w.addUsers(t, "ann")
	h := w.hook(t, "Shop purchases", "active", userLine+addCoins)
	w.awaitRows(t, h.deliver(t, coinsBody("ann", "1")))

	b := s.newBrowser(t)
	b.signInAsAdmin(s)
	b.open("/deliveries")
	rows := func(n string) string {
		return `document.querySelectorAll("#deliveries tbody tr").length === ` + n
	}
	b.awaitJS("one row", rows("1"))
	b.loaded()
	b.press("j")
	b.press("\r")
	b.awaitJS("the details", `document.querySelector("#panel article")`)
	h.deliver(t, coinsBody("ann", "2"))
	b.awaitJS("the button", `document.querySelector("[data-news]").textContent.endsWith("new") && !document.querySelector("[data-news]").hidden && `+rows("1"))
	b.click("[data-news]")
	b.awaitJS("two rows", rows("2"))
	b.press("\x1b")
	b.awaitJS("the list, without details", `document.getElementById("panel").innerHTML === "" && location.pathname === "/deliveries"`)

	// A page that is paused does not move either.
	b.eval(`document.activeElement.blur(); ""`)
	b.click("[data-pause]")
	h.deliver(t, coinsBody("ann", "3"))
	b.awaitJS("the button", `!document.querySelector("[data-news]").hidden && `+rows("2"))
}
