package e2e

import "testing"

// A sender that is known, from nothing to a balance by clicks alone: who sends, the draft
// with a secret to give to the sender, active, and a signed request that arrives.
func TestASenderFromNothingToABalanceByClicks(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t).newWorld(t)
	w.community = "default"
	w.addUsers(t, "ada")
	b := w.newBrowser(t)
	b.signInAsAdmin(w.stack)

	b.clickText("Webhooks")
	b.clickText("New webhook")
	b.await("Who sends?", "Shops and payments")
	b.clickText("GitHub")
	b.await("New webhook for GitHub")
	b.clickText("Create the draft")
	b.await("Copy this now", "At GitHub", "Paste this webhook's URL as the payload URL", "example of what GitHub sends", "ada@example.com: xp 0 → 50")
	if secret := b.text("#secret"); len(secret) < 32 {
		t.Errorf("the secret for GitHub is %q", secret)
	}
	b.clickText("Activate")
	b.await("● active")
	b.clickText("Send a test")
	b.clickText("Send the test")
	b.await("Answered 202")
	b.clickText("Histories")
	b.await("GitHub pull requests", "XP +50 → 50", "success")
	w.wantBalances(t, "ada", "0", "50")
}
