package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axe looks for what keeps people from using a page. Its licence is beside it.
//
//go:embed testdata/axe/axe.min.js
var axe string

// looks are light and dark, wide and narrow. Those that are not tested are there
// for whoever looks at the pictures.
var looks = []struct {
	name, scheme  string
	width, height int64
	axe           bool
}{
	{"wide-light", "light", 1280, 900, true},
	{"narrow-dark", "dark", 390, 844, true},
	{"narrowest", "light", 360, 640, false},
	{"wide-dark", "dark", 1280, 900, false},
	{"narrow-light", "light", 390, 844, false},
}

const looksTested = 3

const orderLines = `mappings:
  - currency: coins
    operator: add
    each: lines
    when:
      - {path: refunded, not_equals: true}
    value:
      path: sku
      lookup:
        gems_1200: "1200"
        gems_500: "500"
      default: "0"
      times: {path: quantity}
`

const twoRows = `  - any: [{path: plan, equals: gold}, {header: X-Event, exists: true}]
idempotency: [{path: id}, {header: X-Topic}]
`

// Every page can be used by all: axe finds nothing serious, nothing sticks out at
// the side, and no page complains, wide and narrow, light and dark.
func TestEveryPageCanBeUsed(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	w := s.newWorld(t, "ann", "bob")
	w.community = "default"
	w.addUsers(t, "ann", "bob")
	w.set(t, "currencies", "set", "gems_of_the_northern_kingdom", "--scale", "2", "--min=-1234567.50", "--max", "1000000")
	w.set(t, "fields", "set", "favourite_team", "--type", "select", "--option", "red", "--option", "blue")
	h := w.hook(t, "Shop purchases", "active", userLine+addCoins)
	draft := w.hook(t, "A draft", "draft", "")
	lines := w.hook(t, "Shop orders", "active", userLine+"when:\n  - {path: type, in: [a, b]}\n"+twoRows+orderLines)
	good := h.deliver(t, coinsBody("ann", "7"))
	failed := h.deliver(t, `{"user":"ann","amount":"a lot"}`)
	w.awaitRows(t, good, failed)
	user := w.user(t, "ann").ID

	b := w.newBrowser(t)
	pages := []string{"/sign-in"}
	b.lookAt(t, pages)
	b.signIn(w.Env()["CONSOLE_USER"], w.Env()["CONSOLE_PASSWORD"])
	b.lookAt(t, []string{
		"/", "/webhooks", "/webhooks/new", "/webhooks/new?sender=github", "/webhooks/" + h.ID, "/webhooks/" + h.ID + "/deliveries", "/webhooks/" + h.ID + "/mapping", "/webhooks/" + lines.ID + "/mapping",
		"/webhooks/" + h.ID + "/rejections", "/webhooks/" + h.ID + "/settings", "/webhooks/" + h.ID + "/versions", "/webhooks/" + draft.ID,
		"/deliveries", "/deliveries?status=failed", "/deliveries/" + good, "/deliveries/" + failed, "/deliveries/" + failed + "?tab=payload",
		"/deliveries/" + good + "?tab=changes", "/deliveries/" + good + "?tab=runs", "/deliveries/" + good + "/revert",
		"/deliveries/compare?id=" + failed + "&with=" + good,
		"/dead-letters", "/dead-letters/list", "/dead-letters/replay?id=" + failed, "/dead-letters/discard?id=" + failed,
		"/logs", "/users", "/users/" + user, "/settings", "/settings/fields/favourite_team/delete", "/trail", "/accounts", "/account",
		"/search?q=ann", "/webhooks/" + h.ID + "/test",
	})
	b.look(390, 844, "light")
	b.open("/settings")
	if high := b.eval(rowsNotDense); high != "" {
		t.Errorf("on a phone these rows have more than two lines, or are cut off: %s", high)
	}
	b.click(`tr:has([value="gems_of_the_northern_kingdom"]) summary`)
	if wide := b.eval(`String(document.querySelector("details[open]").clientWidth > 340)`); wide != "true" {
		t.Error("on a phone the form of a currency is not as wide as the page")
	}
	for _, finding := range b.axe(t) {
		t.Errorf("with a form open: %s", finding)
	}
}

// rowsNotDense names the rows of tables that are higher than two lines, or have a cell of
// which a part is cut off.
const rowsNotDense = `[...document.querySelectorAll("main tbody tr")].filter((row) => row.offsetHeight > 64 ||
	[...row.cells].some((c) => c.scrollWidth > c.clientWidth + 1 || !c.matches(".minor, :empty") && !c.getClientRects().length)).map((row) => row.offsetHeight + " px: " + row.innerText).join(", ")`

func (b *browser) lookAt(t *testing.T, pages []string) {
	t.Helper()
	for i, look := range looks {
		if i == looksTested && os.Getenv("BROWSER_PICTURES") == "" {
			return
		}
		if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}},
		}); err != nil {
			t.Fatal(err)
		}
		b.do("size", chromedp.EmulateViewport(look.width, look.height))
		for _, page := range pages {
			b.open(page)
			b.do("wait for "+page, chromedp.WaitVisible(chromedp.CSS("h1")))
			name := look.name + strings.NewReplacer("/", "-", "?", "-", "=", "-").Replace(page)
			b.keepPicture(name)
			if wide := b.eval(`String(document.documentElement.scrollWidth - document.documentElement.clientWidth)`); wide != "0" {
				t.Errorf("%s %s is %s px too wide", look.name, page, wide)
			}
			if hidden := b.eval(fieldsOutOfSight); hidden != "" {
				t.Errorf("%s %s has fields that nobody sees: %s", look.name, page, hidden)
			}
			if !look.axe {
				continue
			}
			for _, finding := range b.axe(t) {
				t.Errorf("%s %s: %s", look.name, page, finding)
			}
		}
	}
}

// fieldsOutOfSight names the fields that are neither in a closed part nor hidden on
// purpose, and yet take no room: a narrow screen has all of a form. The kind of an external
// id is there where users are found by one, and what tells retries in one field or several.
const fieldsOutOfSight = `[...document.querySelectorAll("main :is(input:not([type=hidden]), select, textarea)")]
	.filter((f) => !f.closest("[hidden], details:not([open]), [name=user_kind], #retries") && f.getClientRects().length === 0).map((f) => f.id || f.name).join(", ")`

// axe returns what it finds that is serious.
func (b *browser) axe(t *testing.T) (serious []string) {
	t.Helper()
	b.eval(axe + "; ''")
	found := b.evalAwaited(`axe.run({resultTypes: ["violations"], rules: {"target-size": {enabled: true}}}).then((r) => JSON.stringify(r.violations.map((v) =>
		({impact: v.impact, id: v.id, help: v.help, where: v.nodes.map((n) => n.target.join(" ") + " " + (n.any[0]?.message ?? "")).slice(0, 3)}))))`)
	var violations []struct {
		Impact, ID, Help string
		Where            []string
	}
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		t.Fatal(err, found)
	}
	for _, v := range violations {
		if v.Impact == "serious" || v.Impact == "critical" {
			serious = append(serious, fmt.Sprintf("%s (%s): %s at %s", v.ID, v.Impact, v.Help, strings.Join(v.Where, "; ")))
		}
	}
	return serious
}

// keepPicture leaves a picture of the page where BROWSER_PICTURES says.
func (b *browser) keepPicture(name string) {
	dir := os.Getenv("BROWSER_PICTURES")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)
	}
	if err != nil {
		b.t.Log("no picture:", err)
	}
}
