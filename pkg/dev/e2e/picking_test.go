package e2e

import (
	"fmt"
	"testing"
)

// On a webhook that is complete a click into the sample writes nothing, unless a field
// was chosen for it, and what it replaced comes back.
func TestAClickIntoTheSampleOverwritesNothing(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	w := &world{stack: s, community: "default"}
	w.addUsers(t, "ann")
	h := w.hook(t, "Shop purchases", "active", userLine+"when:\n  - {path: amount, exists: true}\n"+addCoins) // its form shows optional fields, too
	w.awaitRows(t, h.deliver(t, coinsBody("ann", "1")))

	b := s.newBrowser(t)
	b.signInAsAdmin(s)
	b.open("/webhooks/" + h.ID + "/mapping")
	before := b.eval(`document.getElementById("user.path").value`)
	amount := `#sample button[data-pick="amount"]`
	b.click(amount)
	b.await("Click into a path first")
	value := func(want string) string {
		return fmt.Sprintf(`document.getElementById("user.path").value === %q`, want)
	}
	b.awaitJS("the path of before", value(before))
	b.awaitJS("no path of retries", `document.getElementById("retry_name").value === ""`)

	b.click(`#user\.path`)
	b.click(amount)
	b.awaitJS("the path that was clicked", value("amount"))
	b.click(amount) // nothing is chosen any more
	b.click("[data-undo]")
	b.awaitJS("the path of before", value(before))
}
