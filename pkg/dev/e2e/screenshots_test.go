package e2e

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var (
	screenshots = flag.String("screenshots", "", "the folder into which TestScreenshots writes the pictures of the documents")
	everyPage   = flag.String("every-page", "", "a folder into which it writes every page, too: wide and narrow, light and dark")
)

// TestScreenshots makes the pictures of the documents, and of every page: `make screenshots`.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" && *everyPage == "" {
		t.Skip("make screenshots runs it")
	}
	s := newConsoleStack(t)
	d := newDemo(t, s)
	b := s.newBrowser(t)
	if *everyPage != "" {
		d.photographAll(t, b, *everyPage, []string{"/sign-in"})
	}
	b.look(1200, 760, "light")
	b.signInAsAdmin(s)
	if *screenshots != "" {
		b.photograph(t, filepath.Join(*screenshots, "mapping.png"), "/webhooks/"+d.shop.ID+"/mapping#sample")
		b.photograph(t, filepath.Join(*screenshots, "dead-letters.png"), "/dead-letters")
		b.photograph(t, filepath.Join(*screenshots, "histories.png"), "/deliveries?open="+d.good)
	}
	if *everyPage != "" {
		d.photographAll(t, b, *everyPage, d.pages())
	}
}

// demo is an installation with a bit of everything.
type demo struct {
	shop, draft  *hook
	good, failed string // deliveries
	user         string
	ids          *strings.Replacer // names instead of ids
}

func newDemo(t *testing.T, s *stack) demo {
	t.Helper()
	w := &world{stack: s, community: "default"}
	w.addUsers(t, "alice", "bob", "carol")
	shop := w.hook(t, "Shop purchases", "active", userLine+
		"mappings:\n  - {currency: coins, operator: add, value: {path: order.coins}}\n  - {currency: xp, operator: add, value: {path: order.total, round: down}}\n")
	ads := w.hook(t, "Ad rewards", "active", userLine+addCoins)
	d := demo{shop: shop, draft: w.hook(t, "Newsletter clicks", "draft", "")}
	ids := []string{ads.deliver(t, coinsBody("dave", "5"))}
	for i := range 5 {
		ids = append(ids, shop.deliver(t, fmt.Sprintf(`{"type":"order.paid","user":"bob","order":{"id":"B-%d","total":%d}}`, i, i)))
	}
	for i := range 24 {
		user := []string{"alice", "bob", "carol"}[i%3]
		ids = append(ids,
			shop.deliver(t, fmt.Sprintf(`{"type":"order.paid","user":%q,"order":{"id":"A-%d","coins":%d,"total":%d.99}}`, user, 1001+i, 1210*(i%7+1), i+3)),
			ads.deliver(t, coinsBody(user, fmt.Sprint(5+i%4))))
	}
	w.awaitRows(t, ids...)
	d.failed, d.good, d.user = ids[1], ids[len(ids)-2], w.user(t, "alice").ID
	d.ids = strings.NewReplacer(shop.ID, "shop", d.draft.ID, "draft", d.failed, "failed", d.good, "success", d.user, "alice")
	return d
}

// pages are all there are, each in a state that has something to show.
func (d demo) pages() []string {
	return []string{
		"/", "/?span=24h", "/webhooks", "/webhooks/new", "/webhooks/new?sender=github", "/webhooks/" + d.shop.ID, "/webhooks/" + d.shop.ID + "/deliveries",
		"/webhooks/" + d.shop.ID + "/mapping", "/webhooks/" + d.shop.ID + "/rejections", "/webhooks/" + d.shop.ID + "/settings",
		"/webhooks/" + d.shop.ID + "/versions", "/webhooks/" + d.draft.ID,
		"/deliveries", "/deliveries?status=failed", "/deliveries?status=pending", "/deliveries?open=" + d.good,
		"/deliveries/" + d.failed, "/deliveries/" + d.good + "?tab=payload", "/deliveries/" + d.good + "?tab=changes",
		"/deliveries/" + d.good + "?tab=runs", "/deliveries/" + d.good + "/revert",
		"/dead-letters", "/dead-letters/list", "/dead-letters/replay?id=" + d.failed, "/dead-letters/discard?id=" + d.failed,
		"/logs", "/users", "/users/" + d.user, "/settings", "/trail", "/account", "/search?q=alice", "/there-is-no-such-page",
	}
}

// look sets the size of the window and the person's theme.
func (b *browser) look(width, height int64, scheme string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}); err != nil {
		b.t.Fatal(err)
	}
	b.do("size", chromedp.EmulateViewport(width, height))
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

func (d demo) photographAll(t *testing.T, b *browser, dir string, pages []string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b.expect("404: ") // one of them is not there, and some are made by others
	for _, look := range []struct {
		name, scheme  string
		width, height int64
	}{{"1440-light", "light", 1440, 900}, {"1440-dark", "dark", 1440, 900}, {"390-light", "light", 390, 844}, {"390-dark", "dark", 390, 844}} {
		b.look(look.width, look.height, look.scheme)
		for _, page := range pages {
			name := strings.Trim(notInNames.ReplaceAllString(d.ids.Replace(page), "-"), "-")
			b.photograph(t, filepath.Join(dir, cmp.Or(name, "overview")+"-"+look.name+".png"), page)
		}
	}
}

// photograph writes a picture of what the window shows of a page.
func (b *browser) photograph(t *testing.T, file, page string) {
	t.Helper()
	b.open(page)
	b.do("wait for "+page, chromedp.WaitVisible(chromedp.CSS("h1")))
	b.loaded()
	if strings.Contains(page, "/mapping") {
		b.do("wait for the sample", chromedp.WaitVisible(chromedp.CSS("#sample button.pick")))
	}
	if strings.Contains(page, "open=") {
		b.do("wait for the details", chromedp.WaitVisible(chromedp.CSS("#panel h1")))
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, smaller(t, picture), 0o644); err != nil {
		t.Fatal(err)
	}
}

// smaller writes a PNG again with the 256 colours that it has most of: pages have few, and
// their letters many that are nearly the same.
func smaller(t *testing.T, picture []byte) []byte {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	bounds, counts, hues := decoded.Bounds(), map[color.Color]int{}, map[[3]uint32]bool{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[decoded.At(x, y)]++
		}
	}
	byCount := func(a, b color.Color) int { return counts[b] - counts[a] }
	var palette color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(counts), byCount) {
		// Few dots of a badge are red: each hue has its place, before more greys have.
		r, g, b, _ := c.RGBA()
		if hue := [3]uint32{r >> 13, g >> 13, b >> 13}; len(palette) < 256 && !hues[hue] {
			hues[hue], palette = true, append(palette, c)
			delete(counts, c)
		}
	}
	rest := slices.SortedFunc(maps.Keys(counts), byCount)
	palette = append(palette, rest[:min(len(rest), 256-len(palette))]...)
	paletted := image.NewPaletted(bounds, palette)
	draw.Draw(paletted, bounds, decoded, bounds.Min, draw.Src)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, paletted); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
