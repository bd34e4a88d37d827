package e2e

import (
	"strings"
	"testing"
)

// A test request goes through the real ingress and appliers. The page says what became of
// it once that is known, without being loaded again.
func TestATestShowsItsOutcomeWhenItIsSettled(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	w := &world{stack: s, community: "default"}
	w.addUsers(t, "ann")
	h := w.hook(t, "Shop purchases", "active", userLine+addCoins)
	h.pause(t)
	b := s.newBrowser(t)
	b.signInAsAdmin(s)
	send := func(body string) {
		t.Helper()
		b.open("/webhooks/" + h.ID + "/test")
		b.fill("#test textarea", body)
		b.fill("#test input[name=api_key]", h.APIKey)
		b.clickText("Send the test")
		b.await("Answered 202", "What became of it")
	}
	send(coinsBody("ann", "30"))
	b.await("It has no outcome yet")
	b.eval(`window.isTheSame = "yes"; ""`)
	s.query(t, &webhookJSON{}, "webhooks", "resume", h.ID)
	b.awaitJS("the outcome", `document.getElementById("outcome")?.textContent.includes("+30")`)
	if text := b.text("#outcome"); !strings.Contains(text, "success") || strings.Contains(text, "no outcome yet") {
		t.Errorf("the outcome is %q", text)
	}
	if b.eval(`window.isTheSame ?? "no"`) != "yes" || b.eval(`String(document.getElementById("outcome").hasAttribute("hx-get"))`) != "false" {
		t.Error("the page was loaded again, or goes on asking")
	}
	if got := w.user(t, "ann").Balances["coins"]; got != "30" {
		t.Errorf("ann has %s coins, want 30", got)
	}

	send(coinsBody("nobody", "30"))
	b.awaitJS("why it failed", `document.getElementById("outcome")?.textContent.includes("user_not_found")`)
}
