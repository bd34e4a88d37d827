package e2e

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// aim waits until the element is in the same place for two frames, and gives its
// middle. From then on a click that meets something else does nothing: what arrives
// late moves a page, also between the aim and the click.
const aim = `(async () => {
	const element = %s;
	if (!element) return "";
	element.scrollIntoView({block: "center", behavior: "instant"});
	const frame = () => new Promise((done) => requestAnimationFrame(done));
	let box, before;
	do {
		before = element.getClientRects()[0];
		await frame();
		await frame();
		box = element.getClientRects()[0];
		if (!before || !box) return "";
	} while (box.x !== before.x || box.y !== before.y || box.width !== before.width);
	const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
	if (!element.isConnected || !element.contains(document.elementFromPoint(x, y))) return "";
	window.clicked = "nothing";
	addEventListener("click", (event) => {
		window.clicked = element.contains(event.target) ? "it" : "another";
		if (window.clicked === "another") { event.preventDefault(); event.stopImmediatePropagation(); }
	}, {capture: true, once: true});
	return x + " " + y;
})()`

// clickAt clicks the element of an expression, and aims again where it has moved.
func (b *browser) clickAt(what string, visible chromedp.Action[chromedp.Void], expression string) {
	b.t.Helper()
	b.do("find "+what, visible)
	deadline := time.Now().Add(browserPatience)
	for {
		var x, y float64
		if _, err := fmt.Sscan(b.answer(fmt.Sprintf(aim, expression)), &x, &y); err == nil {
			b.do("click on "+what, chromedp.MouseClickXY(x, y))
			if heard := b.answer(`window.clicked ?? "it"`); heard == "it" || heard == "" {
				return
			}
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s does not stand still to be clicked, or something covers it:\n%s", what, b.where())
		}
	}
}

// answer is what an expression gives, nothing where the page goes away meanwhile.
func (b *browser) answer(expression string) string {
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		return ""
	}
	return text
}

// A page that moves while the mouse is pressed has the click miss. It is repeated.
func TestAClickMeetsItsAim(t *testing.T) {
	t.Parallel()
	b := newBrowser(t, "")
	page := `<p id="above"></p><button id="good" onclick="document.title = 'good'">Resume</button>` +
		`<button onclick="document.title = 'bad'" style="display: block">Delete</button><script>` +
		`addEventListener("mousedown", () => { document.getElementById("above").style.height = "200px"; }, {once: true})</script>`
	b.do("open a page", chromedp.Navigate("data:text/html,"+url.PathEscape(page)))
	b.click("#good")
	if title := b.eval(`document.title`); title != "good" {
		t.Errorf("clicked on %q, want good", title)
	}
}
