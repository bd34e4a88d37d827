package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// signInAsAdmin signs in with the account that the stack made.
func (b *browser) signInAsAdmin(s *stack) {
	b.t.Helper()
	b.signIn(s.Env()["CONSOLE_USER"], s.Env()["CONSOLE_PASSWORD"])
}

// text is that of an element, once it is there.
func (b *browser) text(selector string) string {
	b.t.Helper()
	b.do("find "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
	return strings.TrimSpace(b.eval(`document.querySelector(` + jsString(selector) + `).textContent`))
}

func jsString(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// From nothing to a webhook that awards coins, by clicks and keys: a user, a draft,
// a sample that a sender sent meanwhile, the mapping picked from it, active; then
// a request from outside settles and appears, and its entry has the webhook's name.
func TestAWebhookFromNothingToActive(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	b := s.newBrowser(t)
	b.signInAsAdmin(s)
	b.await("Everything adds up")

	b.clickText("Users")
	b.await("There are no users yet")
	b.clickText("Add a user")
	b.fill("form[action='/users'] input[name=email]", "alice@example.com")
	b.press("\r")
	b.await("The user was added.", "Balances")

	b.clickText("Webhooks")
	b.clickText("New webhook")
	b.clickText("Something else")
	b.fill("#name", "Shop purchases")
	b.clickText("Create the draft")
	b.await("Copy this now")
	key, url := b.text("#api-key"), b.text("#hook-url")
	b.await("x-api-key: " + key) // the command to try it is ready
	send := func(body, status string) {
		t.Helper()
		eventually(t, func(ctx context.Context) error { // the ingress hears of changes within milliseconds
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("X-Api-Key", key)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			answer, err := io.ReadAll(resp.Body)
			if err == nil && !strings.Contains(string(answer), `"`+status+`"`) {
				err = fmt.Errorf("answered %d %s, want it %s", resp.StatusCode, answer, status)
			}
			return err
		})
	}

	b.click("#catch")
	b.await("Waiting for the first sample")
	send(`{"customer":{"email":"Alice@example.com"},"order":{"coins":50,"total":12.5}}`, "captured")
	b.await("Caught a sample", "order")
	b.click(`#user\.path`)
	b.click(`#sample button[data-pick$="customer.email"]`)
	b.await("Add a field mapping in step 6")
	b.click("#add-mapping")
	b.await("Field mapping 1")
	b.choose(`#mappings\.0\.target`, "Coins")
	b.click(`#mappings\.0\.value`)
	b.click(`#sample button[data-pick$="order.coins"]`)
	b.await("alice@example.com: Coins 0 → 50")
	b.clickText("Add field mapping")
	b.await("Field mapping 2")
	b.choose(`#mappings\.1\.target`, "XP")
	b.fill(`#mappings\.1\.value`, "order.total")
	b.fill(`#mappings\.1\.times`, "10")
	b.await("Coins 0 → 50, XP 0 → 125")
	b.clickText("Activate")
	b.await("● active")

	b.clickText("Histories")
	b.await("No delivery is like this")
	send(`{"customer":{"email":"alice@example.com"},"order":{"coins":7,"total":1}}`, "pending")
	b.await("Coins +7 → 7, XP +10 → 10", "success")
	b.clickText("Gamification logs")
	b.await("Shop purchases", "Coins", "+7", "XP", "+10")
}

// A delivery appears in Histories by itself, and what a sender sent is shown as
// text, whatever it holds.
func TestTheConsoleShowsDeliveriesAsTheyCome(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t).newWorld(t, "ann")
	b := w.newBrowser(t)
	b.signInAsAdmin(w.stack)
	b.open("/deliveries")
	b.await("No delivery is like this")
	h := w.hook(t, `<script>alert("hook")</script>`, "active", userLine+addCoins)
	id := h.deliver(t, coinsBody("ann", "7"))
	b.await(`<script>alert("hook")</script>`, "Coins +7 → 7", "success")
	failed := h.deliver(t, `{"user":"ann","note":"<script>alert(1)</script><img src=x onerror=alert(2)>"}`)
	b.await("missing_field")
	b.click(`#d-` + failed + ` a`)
	b.await("What to do", "missing_field")
	b.click(`#delivery nav a[href$="tab=payload"]`)
	b.await(`<img src=x onerror=alert(2)>`)
	b.open("/deliveries/" + id)
	b.await("applied", "ann@example.com")
}

// A group of dead letters is replayed from its page, after its plan was read.
func TestAGroupIsReplayedInTheConsole(t *testing.T) {
	t.Parallel()
	const letters, users = 40, 4
	w := newConsoleStack(t).newWorld(t)
	w.addNumbered(t, users)
	w.deliverFailing(t, letters, users)
	b := w.newBrowser(t)
	b.signInAsAdmin(w.stack)
	b.clickText("Dead letters")
	b.await("40 shop: Value missing in the payload missing_field")
	b.clickText("Plan a replay")
	b.await("To replay", "Would be applied\n✓ 40", userName(0))
	b.fill("input[name=note]", "the path was wrong")
	b.clickText("Replay 40")
	b.await("Done. 40 applied.")
	b.clickText("Back to the dead letters")
	b.await("There are no dead letters")
	w.awaitCount(t, letters, "SELECT count(*) FROM outcomes WHERE community = $1 AND status = 'success'")
	w.checkLogs(t)
}

// What a viewer sees has nothing that changes anything, and who is signed out sees
// the sign-in.
func TestAViewerLooks(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	failed := h.deliver(t, `{"user":"ann"}`)
	w.awaitRows(t, failed)
	const password = "correct horse battery staple"
	var account struct{ Name string }
	w.queryWith(t, password+"\n", &account, "admins", "add", "val", "--role", "viewer", "--password-stdin")
	b := w.newBrowser(t)
	b.open("/users")
	b.await("Sign in")
	b.fill("input[name=name]", "val")
	b.fill("input[name=password]", "not the password")
	b.expect("422")
	b.expect("401")
	b.press("\r")
	b.await("The name or the password is wrong.")
	b.signIn("val", password)
	for _, page := range []string{"/", "/webhooks", "/webhooks/" + h.ID, "/deliveries", "/deliveries/" + failed, "/dead-letters", "/logs", "/users", "/settings"} {
		b.open(page)
		b.do("wait for "+page, chromedp.WaitVisible(chromedp.CSS("h1")))
		forms := b.eval(`String([...document.querySelectorAll("form")].filter((f) => f.method === "post" && !f.action.endsWith("/sign-out") && f.querySelector("button:not([type=button]):not(:disabled)")).length)`)
		if forms != "0" {
			t.Errorf("%s has %s forms that change something", page, forms)
		}
	}
	b.click("#account-menu summary")
	b.clickText("Sign out")
	b.await("No account yet?")
	b.open("/deliveries")
	b.await("No account yet?")
}
