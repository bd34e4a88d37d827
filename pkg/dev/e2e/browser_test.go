package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserPatience is how long a page may take to show what it is to show.
const browserPatience = 30 * time.Second

// chromium returns the browser's path, or skips the test. CI installs one.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("NOT TESTED in a browser: Chromium is not installed (apt-get install chromium)")
	return ""
}

// browser is one tab, with the cookies of its own. A test fails if a page of it
// complains, or asks for something that is not there.
type browser struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu         sync.Mutex
	requests   map[network.RequestID]string
	complaints []string
	expected   []string // parts of complaints that the test is about
}

// newBrowser opens a tab on the stack's console.
func (s *stack) newBrowser(t *testing.T) *browser {
	t.Helper()
	base := s.Env()["CONSOLE_URL"]
	if base == "" {
		t.Fatal("the stack has no console")
	}
	return newBrowser(t, base)
}

func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	path := chromium(t)
	b := &browser{t: t, base: base, requests: map[network.RequestID]string{}}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, chromedp.ExecPath(path), chromedp.Headless, chromedp.NoSandbox,
		chromedp.NoFirstRun, chromedp.WindowSize(1280, 900), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-dev-shm-usage", true))
	t.Cleanup(cancel)
	b.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.hear))
	t.Cleanup(cancel)
	t.Cleanup(b.check)
	if err := chromedp.Do(b.ctx); err != nil { // the browser lives as long as what is run first
		t.Fatalf("start %s: %v", path, err)
	}
	return b
}

// hear takes down what a page complains of.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var words []string
			for _, arg := range e.Args {
				words = append(words, string(arg.Value)+arg.Description)
			}
			b.complaints = append(b.complaints, "console: "+strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, "exception: "+e.ExceptionDetails.Text+" "+describe(e.ExceptionDetails.Exception))
	case *log.EventEntryAdded: // what the policy of the page forbids, among others
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			b.complaints = append(b.complaints, "log: "+e.Entry.Text)
		}
	case *network.EventRequestWillBeSent:
		b.requests[e.RequestID] = e.Request.Method + " " + e.Request.URL
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			b.complaints = append(b.complaints, fmt.Sprintf("%d: %s", e.Response.Status, b.requests[e.RequestID]))
		}
	case *network.EventLoadingFailed:
		// What a page leaves behind is cancelled: live updates, above all.
		if !e.Canceled && e.ErrorText != "net::ERR_ABORTED" {
			b.complaints = append(b.complaints, e.ErrorText+": "+b.requests[e.RequestID])
		}
	}
}

func describe(o *runtime.RemoteObject) string {
	if o == nil {
		return ""
	}
	return o.Description
}

// expect has complaints with that text count for nothing.
func (b *browser) expect(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, part)
}

func (b *browser) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, complaint := range b.complaints {
		if !slices.ContainsFunc(b.expected, func(part string) bool { return strings.Contains(complaint, part) }) {
			b.t.Errorf("the page complains: %s", complaint)
		}
	}
	if b.t.Failed() {
		b.keepPicture(strings.ReplaceAll(b.t.Name(), "/", "-"))
	}
}

// do runs one step. What fails shows where the page is.
func (b *browser) do(what string, step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	if err := chromedp.Do(ctx, step); err != nil {
		b.t.Fatalf("%s: %v\n%s", what, err, b.where())
	}
}

// where says what the page shows.
func (b *browser) where() string {
	ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText.slice(0, 3000)`))
	if err != nil {
		return "nothing can be seen: " + err.Error()
	}
	return text
}

// open goes to a page of the console.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do("open "+path, chromedp.Navigate(b.base+path))
}

// click, fill and choose use the first element of a CSS selector, once it is
// visible, as a person would.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.clickAt(selector, chromedp.WaitVisible(chromedp.CSS(selector)), fmt.Sprintf(`document.querySelector(%q)`, selector))
}

func (b *browser) fill(selector, text string) {
	b.t.Helper()
	b.do("find "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
	b.loaded() // a page's scripts may move the focus first
	b.eval(fmt.Sprintf(`document.querySelector(%q).value = ""`, selector))
	b.do("fill "+selector, chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible))
}

// loaded waits until the page's scripts have run.
func (b *browser) loaded() {
	b.t.Helper()
	b.evalAwaited(`new Promise((done) => document.readyState === "complete" ? done("") : addEventListener("load", () => done("")))`)
}

// choose picks an option of a list by typing its text.
func (b *browser) choose(selector, text string) {
	b.t.Helper()
	b.do("choose "+text, chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible))
}

// press sends keys to whatever has the focus.
func (b *browser) press(keys string) {
	b.t.Helper()
	b.do("press "+keys, chromedp.KeyEvent(keys))
}

// clickText clicks the first link or button that says so, once it is visible.
func (b *browser) clickText(text string) {
	b.t.Helper()
	path := fmt.Sprintf(`//*[self::a or self::button or self::summary][contains(normalize-space(.), %q)]`, text)
	b.clickAt(text, chromedp.WaitVisible(path),
		fmt.Sprintf(`document.evaluate(%q, document, null, XPathResult.FIRST_ORDERED_NODE_TYPE, null).singleNodeValue`, path))
}

// await waits until the page's main text has all of these.
func (b *browser) await(texts ...string) {
	b.t.Helper()
	deadline := time.Now().Add(browserPatience)
	for {
		seen := b.seen()
		missing := slices.IndexFunc(texts, func(text string) bool { return !strings.Contains(seen, text) })
		if missing < 0 {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the page does not come to say %q:\n%s", texts[missing], b.where())
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-b.ctx.Done():
			b.t.Fatal(b.ctx.Err())
		}
	}
}

// seen is what the page shows, nothing while it is between two.
func (b *browser) seen() string {
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body?.innerText ?? ""`))
	if err != nil { // the page it was asked of is gone
		return ""
	}
	return text
}

// eval returns the text that an expression gives.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return text
}

// evalAwaited is eval of a promise.
func (b *browser) evalAwaited(expression string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserPatience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("evaluate: %v", err)
	}
	return text
}

// signIn signs in as an account of the stack.
func (b *browser) signIn(name, password string) {
	b.t.Helper()
	b.open("/sign-in")
	b.fill("input[name=name]", name)
	b.fill("input[name=password]", password)
	b.press("\r")
	b.do("sign in", chromedp.WaitVisible(chromedp.CSS("#account-menu")))
}
