package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// awaitJS waits until an expression of the page is true.
func (b *browser) awaitJS(what, expression string) {
	b.t.Helper()
	eventually(b.t, func(context.Context) error {
		if got := b.answer(fmt.Sprintf(`String(Boolean(%s))`, expression)); got != "true" {
			return fmt.Errorf("%s: not yet at %s", what, b.where())
		}
		return nil
	})
}

// A night shift has no mouse: a list, its details and the way back work with keys alone.
// An open delivery has an address.
func TestAListWorksWithKeysAlone(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	w := &world{stack: s, community: "default"}
	w.addUsers(t, "ann")
	h := w.hook(t, "Shop purchases", "active", userLine+addCoins)
	ids := []string{h.deliver(t, coinsBody("ann", "1")), h.deliver(t, coinsBody("ann", "2")), h.deliver(t, coinsBody("ann", "3"))}
	w.awaitRows(t, ids...)
	newest, second := ids[2], ids[1]

	b := s.newBrowser(t)
	b.signInAsAdmin(s)
	b.press("g")
	b.press("h")
	b.awaitJS("the list", `location.pathname === "/deliveries" && document.querySelectorAll("table.rows tbody tr").length === 3`)
	b.loaded()
	b.press("j")
	b.press("\r")
	shows := func(id string) string {
		return fmt.Sprintf(`document.querySelector("#panel article")?.textContent.includes(%q) && location.search.includes(%q) &&
			document.querySelector("tr.current")?.innerHTML.includes(%q)`, id, "open="+id, id)
	}
	b.awaitJS("the newest, open", shows(newest))
	b.press("j")
	b.awaitJS("the next one, open", shows(second))
	address := b.eval(`location.pathname + location.search`)

	b.eval(`history.back(); ""`)
	b.awaitJS("the list, without details", `location.pathname === "/deliveries" && location.search === "" && document.getElementById("panel").innerHTML === ""`)
	b.open(address)
	b.awaitJS("the details, from their address", shows(second))
	b.press("/")
	b.awaitJS("the search box", `document.activeElement.id === "search"`)
	b.press("j")
	if got := b.eval(`document.activeElement.value`); !strings.HasSuffix(got, "j") {
		t.Errorf("j in the search box wrote %q", got)
	}
}

// A server that is slow is said to be, at the button.
func TestABusyButtonSaysSo(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	b := s.newBrowser(t)
	b.signInAsAdmin(s)
	b.open("/webhooks/new?sender=other")
	b.fill("#name", "Shop purchases")
	b.clickText("Create the draft")
	b.await("Copy this now")
	slow := network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{Latency: 2000, DownloadThroughput: -1, UploadThroughput: -1}}}
	if _, err := chromedp.Call(b.ctx, network.EmulateNetworkConditionsByRule, slow); err != nil {
		t.Fatal(err)
	}
	height := b.eval(`document.querySelector("#add-mapping").offsetHeight + ""`)
	b.click("#add-mapping")
	b.awaitJS("the busy button", `document.querySelector("#add-mapping[aria-busy=true]")`)
	if got := b.eval(`document.querySelector("#add-mapping").offsetHeight + ""`); got != height {
		t.Errorf("the busy button is %s px high, it was %s", got, height)
	}
	b.await("Field mapping 1")
	b.awaitJS("the button at rest", `!document.querySelector("#add-mapping[aria-busy]")`)
}
