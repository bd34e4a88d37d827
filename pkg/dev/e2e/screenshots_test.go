package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "the folder into which TestScreenshots writes the pictures of the documents")

// TestScreenshots makes the pictures of the documents: `make screenshots`.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("make screenshots runs it")
	}
	s := newConsoleStack(t)
	w := &world{stack: s, community: "default"}
	w.addUsers(t, "alice", "bob", "carol")
	shop := w.hook(t, "Shop purchases", "active", userLine+
		"mappings:\n  - {currency: coins, operator: add, value: {path: order.coins}}\n  - {currency: xp, operator: add, value: {path: order.total, round: down}}\n")
	ads := w.hook(t, "Ad rewards", "active", userLine+addCoins)
	ids := []string{ads.deliver(t, coinsBody("dave", "5"))}
	for i := range 5 {
		ids = append(ids, shop.deliver(t, fmt.Sprintf(`{"type":"order.paid","user":"bob","order":{"id":"B-%d","total":%d}}`, i, i)))
	}
	for i := range 24 {
		user := []string{"alice", "bob", "carol"}[i%3]
		ids = append(ids,
			shop.deliver(t, fmt.Sprintf(`{"type":"order.paid","user":%q,"order":{"id":"A-%d","coins":%d,"total":%d.99}}`, user, 1001+i, 10*(i%7+1), i+3)),
			ads.deliver(t, coinsBody(user, fmt.Sprint(5+i%4))))
	}
	w.awaitRows(t, ids...)

	b := s.newBrowser(t)
	b.do("size", chromedp.EmulateViewport(1200, 760))
	b.signInAsAdmin(s)
	for name, page := range map[string]string{"mapping": "/webhooks/" + shop.ID, "dead-letters": "/dead-letters"} {
		b.open(page)
		b.do("wait for "+page, chromedp.WaitVisible(chromedp.CSS("h1")))
		b.loaded()
		if name == "mapping" {
			b.eval(`document.getElementById("sample").closest("section").scrollIntoView(); scrollBy(0, -10); ""`)
		}
		picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
