package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// While PostgreSQL or the console is away the page stays, with what was typed, and says so; then
// it goes on.
func TestWhatWasTypedOutlivesAFault(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	b := s.newBrowser(t)
	b.signInAsAdmin(s)
	b.open("/webhooks/new?sender=other")
	b.fill("#name", "Shop purchases")
	b.clickText("Create the draft")
	b.await("Copy this now")
	b.fill(`#user\.path`, "customer.email")
	b.expect("503")
	s.stopParts(t, devstack.Postgres)
	b.click("#add-mapping")
	b.await("PostgreSQL or NATS does not answer")
	typed := func() string { return b.eval(`document.getElementById("user.path")?.value ?? "the form is gone"`) }
	if got := typed(); got != "customer.email" {
		t.Fatalf("while PostgreSQL is away the form has %q", got)
	}
	s.startParts(t, devstack.Postgres)
	b.click("#add-mapping")
	b.await("Field mapping 1")
	if got := typed(); got != "customer.email" {
		t.Errorf("then it has %q", got)
	}
	eventually(t, func(context.Context) error { // a preview may be on its way
		if notice := b.eval(`document.getElementById("notice").textContent`); notice != "" {
			return fmt.Errorf("it says all the same: %s", notice)
		}
		return nil
	})

	b.expect("ERR_CONNECTION")
	b.expect("Failed to fetch")
	s.stopParts(t, devstack.Console)
	b.click("#add-mapping")
	b.await("The console does not answer")
	s.startParts(t, devstack.Console)
	b.click("#add-mapping")
	b.await("Field mapping 2")
	if got := typed(); got != "customer.email" {
		t.Errorf("after the console was away it has %q", got)
	}
}

// What is sent twice, as by a double click, is done once, and its answer is shown.
func TestAFormIsSentOnce(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t).newWorld(t)
	h := w.hook(t, "shop", "active", userLine+addCoins)
	b := w.newBrowser(t)
	b.signInAsAdmin(w.stack)
	b.open("/webhooks/" + h.ID + "/settings")
	b.await("New API key")
	b.eval(`const form = document.querySelector("form[action$='/rotate-key']"); form.requestSubmit(); form.requestSubmit(); ""`)
	b.await("Copy this now")
	h.APIKey = b.text("#api-key")
	h.deliver(t, coinsBody("ann", "1"))
}
