package e2e

import (
	"testing"
)

// A delivery appears in Histories by itself, and what a sender sent is shown as
// text, whatever it holds.
func TestTheConsoleShowsDeliveriesAsTheyCome(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t).newWorld(t, "ann")
	b := w.newBrowser(t)
	b.signIn(w.Env()["CONSOLE_USER"], w.Env()["CONSOLE_PASSWORD"])
	b.open("/deliveries")
	b.await("No delivery is like this")
	h := w.hook(t, `<script>alert("hook")</script>`, "active", userLine+addCoins)
	id := h.deliver(t, coinsBody("ann", "7"))
	b.await(`<script>alert("hook")</script>`, "coins +7 = 7", "success")
	failed := h.deliver(t, `{"user":"ann","note":"<script>alert(1)</script><img src=x onerror=alert(2)>"}`)
	b.await("missing_field")
	b.click(`#d-` + failed + ` a`)
	b.await("What to do", "coins")
	b.click(`#delivery nav a[href$="tab=payload"]`)
	b.await(`<img src=x onerror=alert(2)>`)
	b.open("/deliveries/" + id)
	b.await("applied", "ann@example.com")
}
