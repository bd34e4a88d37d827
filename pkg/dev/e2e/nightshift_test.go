package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// keyboard is a browser that is used with keys alone, and counts them.
type keyboard struct {
	*browser
	pressed int
}

// types presses keys, each on its own.
func (k *keyboard) types(keys ...string) {
	k.t.Helper()
	for _, key := range keys {
		k.press(key)
		k.pressed++
	}
}

// tabAtMost is how many elements a person would go through.
const tabAtMost = 120

// tabTo presses Tab until the focus is on the element of an expression.
func (k *keyboard) tabTo(what, element string) {
	k.t.Helper()
	k.loaded()
	k.awaitJS(what, element)
	for range tabAtMost {
		if k.answer(fmt.Sprintf(`String(document.activeElement === (%s))`, element)) == "true" {
			return
		}
		k.types("\t")
	}
	k.t.Fatalf("%s has no focus after %d times Tab: %s", what, tabAtMost, k.where())
}

// called is the first link or button in view whose text begins so.
func called(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("a[href], button, summary")].find((e) => e.textContent.trim().startsWith(%q) && e.getClientRects().length > 0)`, text)
}

// follow goes to a link or button by Tab, and presses Enter.
func (k *keyboard) follow(text string) {
	k.t.Helper()
	k.tabTo(text, called(text))
	k.types("\r")
}

// A sender has renamed a value, and its deliveries fail. Without a mouse: find one, see
// why, mend the mapping, replay, and see that it was applied.
func TestTheNightShiftWorksWithKeysAlone(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	w := &world{stack: s, community: "default"}
	w.addUsers(t, "ann")
	h := w.hook(t, "Shop purchases", "active", userLine+addCoins)
	var ids []string
	for n := range 3 {
		ids = append(ids, h.deliver(t, fmt.Sprintf(`{"user":"ann","total":%d}`, n+1)))
	}
	w.awaitRows(t, ids...)
	k := &keyboard{browser: s.newBrowser(t)}
	k.signInAsAdmin(s)
	began := time.Now()

	// Find it: the failed ones of the histories, the newest opened.
	k.types("g", "h")
	k.awaitJS("the histories", `location.pathname === "/deliveries" && document.querySelectorAll("table.rows tbody tr").length === 3`)
	k.follow("Failed")
	k.awaitJS("those that failed", `location.search.includes("status=failed") && document.querySelectorAll("table.rows tbody tr").length === 3`)
	k.loaded()
	k.types("j", "\r")
	// Understand it.
	k.awaitJS("why it failed", `document.querySelector("#panel article")?.textContent.includes("missing_field")`)
	if text := k.text("#panel article"); !strings.Contains(text, "amount") {
		t.Errorf("the details do not name the path: %q", text)
	}
	// Mend the mapping.
	k.follow("Open the mapping")
	const value = `document.getElementById("mappings.0.value")`
	k.awaitJS("the mapping", `location.pathname.endsWith("/mapping") && `+value)
	k.tabTo("the path", value) // Tab marks all of the text, so what is typed replaces it
	k.types(strings.Split("total", "")...)
	k.follow("Show what would change")
	k.awaitJS("the change", `document.getElementById("review")?.textContent.includes("total")`)
	k.follow("Save")
	k.await("Saved as version")
	// Replay.
	k.tabTo("the dead letters", called("Dead letters"))
	k.types("g", "d")
	k.awaitJS("the dead letters", `location.pathname === "/dead-letters"`)
	k.follow("Plan a replay")
	k.awaitJS("the plan", `location.pathname === "/dead-letters/replay"`)
	k.await("Would be applied")
	k.follow("Replay 3 dead letters")
	k.await("Done.")
	// Verify.
	k.types("g", "h")
	k.awaitJS("three successes", `location.pathname === "/deliveries" && document.querySelectorAll("table.rows tbody td[data-label=Status]").length === 3 &&
		[...document.querySelectorAll("table.rows tbody td[data-label=Status]")].every((cell) => cell.textContent.includes("success"))`)
	t.Logf("the night shift took %.1f s and %d keys", time.Since(began).Seconds(), k.pressed)
	if got := w.user(t, "ann").Balances["coins"]; got != "6" {
		t.Errorf("ann has %s coins, want 6", got)
	}
}
