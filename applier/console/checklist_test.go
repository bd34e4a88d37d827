package console_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
)

// A new installation is led to its first success, and then left in peace.
func TestAFirstEventIsLedTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	viewer := w.signedIn("vera", admin.Viewer)
	next := func(want string) {
		t.Helper()
		p := w.admin.get("/")
		if got := p.text("#first-steps [aria-current=step] strong"); got != want {
			t.Errorf("the next step is %q, want %q", got, want)
		}
		if want != "" && p.Find("#first-steps a").AttrOr("href", "") == "" {
			t.Errorf("%s has no link", want)
		}
	}
	next("Make a webhook")
	const user = ", user: {by: email, path: user}"
	draft := w.webhookOf("{name: Shop, auth: {}}")
	next("Catch a sample")
	w.capture(draft, `{"user":"alice@example.com","coins":5}`)
	next("Map values to balances")
	w.webhookOf("{name: Mapped, auth: {}" + user + ", mappings: [{currency: coins, operator: add, value: {path: coins}}]}")
	next("Activate it")
	shop := w.webhook("Active")
	next("See the first success")
	if viewer.get("/").Find("#first-steps").Length() != 0 {
		t.Error("a viewer is asked to make webhooks")
	}
	w.user("alice@example.com")
	w.settle()
	w.settled(shop, `{"user":"alice@example.com","coins":5}`)
	next("")
	if p := w.admin.get("/"); p.Find("#first-steps").Length() != 0 || !strings.Contains(p.text(".tiles"), "success 1") {
		t.Errorf("after a success: %s", p.text("main"))
	}
}
