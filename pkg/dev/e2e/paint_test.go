package e2e

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// paintedWithin is what the largest part of every page keeps to, in ms from the click.
const paintedWithin = 600

// largestPaint waits until no larger part was painted for half a second, and says when the
// largest was.
const largestPaint = `new Promise((done) => {
	let at = 0, timer;
	setTimeout(() => done(String(at)), 10000);
	const wait = () => { clearTimeout(timer); timer = setTimeout(() => done(String(at)), 500); };
	new PerformanceObserver((list) => { for (const entry of list.getEntries()) at = entry.startTime; wait(); }).observe({ type: "largest-contentful-paint", buffered: true });
	wait();
})`

// TestPaint measures when a browser has painted the largest part of pages, in ms: the median
// of three. It opens a console that runs: `make measure-console` names one and its pages.
func TestPaint(t *testing.T) {
	base := os.Getenv("COINHOOK_PAINT_URL")
	if base == "" {
		t.Skip("make measure-console runs it")
	}
	pages, err := os.ReadFile(os.Getenv("COINHOOK_PAINT_PAGES"))
	if err != nil {
		t.Fatal(err)
	}
	b := newBrowser(t, base)
	b.signIn(os.Getenv("COINHOOK_PAINT_NAME"), os.Getenv("COINHOOK_PAINT_PASSWORD"))
	for page := range strings.SplitSeq(string(pages), "\n") {
		times := make([]float64, 3)
		for i := range times {
			b.open(page)
			b.do("wait for "+page, chromedp.WaitVisible(chromedp.CSS("h1")))
			b.loaded()
			if times[i], err = strconv.ParseFloat(b.evalAwaited(largestPaint), 64); err != nil || times[i] == 0 {
				t.Errorf("%s: nothing was painted: %v", page, err)
			}
		}
		slices.Sort(times)
		t.Logf("| `%s` | %.0f |", page, times[1])
		if times[1] > paintedWithin {
			t.Errorf("%s is painted after %.0f ms", page, times[1])
		}
	}
}
