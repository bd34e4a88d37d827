package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// pause pauses the webhook, and returns once its deliveries are parked: for a moment
// an ingress and an applier may go by what they knew.
func (h *hook) pause(t *testing.T) {
	t.Helper()
	h.query(t, &h.webhookJSON, "webhooks", "pause", h.ID)
	h.awaitParking(t)
}

// awaitParking returns once deliveries of the webhook are parked. Those that find out
// change nothing.
func (h *hook) awaitParking(t *testing.T) {
	t.Helper()
	eventually(t, func(context.Context) error {
		id := h.deliver(t, coinsBody("ann", "0"))
		var d deliveryJSON
		eventually(t, func(context.Context) error {
			if d = h.show(t, id); d.FinishedAt == nil && (d.Pending == nil || d.Pending.State != "parked") {
				return fmt.Errorf("%s is %+v", id, d.Pending)
			}
			return nil
		})
		if d.Pending == nil {
			return fmt.Errorf("%s was executed: %+v", id, d)
		}
		return nil
	})
}

// awaitParked waits until deliveries are parked for a reason, as lists and show have
// it.
func (w *world) awaitParked(t *testing.T, webhook, why string, ids ...string) {
	t.Helper()
	eventually(t, func(context.Context) error {
		found := map[string]*pendingJSON{}
		for _, d := range w.list(t, "--status", "pending", "--webhook", webhook, "--limit", "1000") {
			if found[d.ID] != nil {
				t.Fatalf("%s is listed twice", d.ID)
			}
			found[d.ID] = d.Pending
		}
		for _, id := range ids {
			if p := found[id]; p == nil || p.State != "parked" || p.Why == nil || *p.Why != why || p.Since == nil {
				return fmt.Errorf("%s is listed as %+v, want it parked: %s", id, p, why)
			}
		}
		return nil
	})
}

// wantLogs compares the amounts that a webhook gave, the oldest first, and that each
// balance follows from the one before.
func (w *world) wantLogs(t *testing.T, webhook string, want []string) {
	t.Helper()
	var logs []logJSON
	w.query(t, &logs, "logs", "list", "--webhook", webhook, "--limit", strconv.Itoa(len(want)+10))
	slices.Reverse(logs)
	var got []string
	for _, l := range logs {
		got = append(got, l.Amount)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the amounts are %v, want %v", got, want)
	}
	w.checkLogs(t)
}

// Deliveries that a paused webhook accepts wait through restarts, and are executed in order
// once the webhook is resumed. Others go on, of the same user, too.
func TestAPausedWebhookAcceptsAndExecutesLater(t *testing.T) {
	t.Parallel()
	const sent = 30
	w := newStack(t).newWorld(t, "ann")
	shop, other := w.hook(t, "shop", "active", userLine+addCoins), w.hook(t, "other", "active", userLine+addOne)
	shop.pause(t)
	var ids, amounts []string
	for n := range sent {
		amounts = append(amounts, strconv.Itoa(n+1))
		ids = append(ids, shop.deliver(t, coinsBody("ann", amounts[n])))
	}
	w.awaitParked(t, shop.ID, "paused", ids...)
	wantApplied(t, w.settled(t, other.deliver(t, coinsBody("ann", "1"))))
	w.wantBalances(t, "ann", "1", "0")
	if d := w.show(t, ids[0]); d.Status != "pending" || d.payload() != coinsBody("ann", "1") || d.Pending.Detail == nil || d.Outcome != "" {
		t.Errorf("shown as %+v", d)
	}
	table := w.coinhook(t, "deliveries", "list")
	if want := "coinhook webhooks resume " + shop.ID; table.code != 0 || !strings.Contains(table.stdout, want) {
		t.Errorf("the list does not say %q:\n%s%s", want, table.stdout, table.stderr)
	}
	for _, part := range append(w.appliers(), devstack.NATS) {
		w.kill(t, part)
		wantApplied(t, w.settled(t, other.deliver(t, coinsBody("ann", "1"))))
	}
	late := shop.deliver(t, coinsBody("ann", "31"))
	ids, amounts = append(ids, late), append(amounts, "31")
	w.awaitParked(t, shop.ID, "paused", ids...)

	w.query(t, &shop.webhookJSON, "webhooks", "resume", shop.ID)
	w.awaitRows(t, ids...)
	w.wantNonePending(t)
	w.wantLogs(t, shop.ID, amounts)
	w.wantBalances(t, "ann", fmt.Sprint(1+len(w.appliers())+1+31*32/2), "0")
	if got := w.coinhook(t, "webhooks", "resume", shop.ID); got.code != 0 || !strings.Contains(got.stdout, "is active already") {
		t.Errorf("resumed once more: exit %d %s%s", got.code, got.stdout, got.stderr)
	}
	wantApplied(t, w.settled(t, shop.deliver(t, coinsBody("ann", "1"))))
}

// Before a webhook is resumed its mapping is tried and changed; the new one decides.
func TestAPausedWebhookIsMended(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	shop := w.hook(t, "shop", "active", userLine+wrongCoins)
	dead := shop.deliver(t, coinsBody("ann", "3"))
	w.awaitRows(t, dead)
	shop.pause(t)
	waiting := shop.deliver(t, coinsBody("ann", "4"))
	w.awaitParked(t, shop.ID, "paused", waiting)
	right := w.yaml("shop", "paused", userLine+addCoins)

	var caught struct{ ID, Source string }
	w.query(t, &caught, "webhooks", "catch", shop.ID)
	if caught.ID != waiting || caught.Source != "delivery" {
		t.Errorf("caught %+v, want %s", caught, waiting)
	}
	var tried deliveryJSON
	w.query(t, &tried, "webhooks", "try", shop.ID)
	if tried.Reason != "missing_field" {
		t.Errorf("tried as %+v", tried)
	}
	var backtest struct {
		Deliveries      int
		NewlySucceeding []any `json:"newly_succeeding"`
	}
	w.queryWith(t, right, &backtest, "webhooks", "backtest", shop.ID, "-f", "-", "--last", "2")
	if backtest.Deliveries != 2 || len(backtest.NewlySucceeding) == 0 {
		t.Errorf("the backtest says %+v", backtest)
	}
	shop.apply(t, right)
	if shop.State != "paused" {
		t.Fatalf("applied as %s", shop.State)
	}
	var plan replayJSON
	w.query(t, &plan, "dlq", "replay", dead)
	if plan.Plan.Paused != 1 || plan.Plan.Applied != 1 || plan.Result == nil || plan.Result.Pending != 1 || plan.Result.Parked != 1 {
		t.Errorf("replayed as %+v %+v", plan.Plan, plan.Result)
	}
	if d := w.show(t, dead); d.Status != "failed" || d.WaitingReplay == nil || d.WaitingReplay.Why != "paused" {
		t.Errorf("the dead letter is shown as %+v", d)
	}
	w.query(t, &shop.webhookJSON, "webhooks", "resume", shop.ID)
	w.awaitRows(t, waiting)
	eventually(t, func(context.Context) error {
		for _, id := range []string{waiting, dead} {
			if d := w.show(t, id); d.Outcome != "applied" || d.WaitingReplay != nil {
				return fmt.Errorf("%s is %+v", id, d)
			}
		}
		return nil
	})
	w.wantBalances(t, "ann", "7", "0")
	w.checkLogs(t)
}

// Deliveries that wait for a webhook that is deleted are dead letters then. Undeleted
// it is paused as before, and their replays wait.
func TestAPausedWebhookIsDeleted(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	shop := w.hook(t, "shop", "active", userLine+addCoins)
	shop.pause(t)
	body := coinsBody("ann", "5")
	ids := []string{shop.deliver(t, body), shop.deliver(t, body)}
	w.awaitParked(t, shop.ID, "paused", ids...)
	w.query(t, new(map[string]string), "webhooks", "delete", shop.ID)
	for _, id := range ids {
		wantFailed(t, w.settled(t, id), failure{body: body, reason: "webhook_deleted", detail: []string{"deleted"}})
	}
	w.query(t, &shop.webhookJSON, "webhooks", "undelete", shop.ID)
	if shop.State != "paused" {
		t.Errorf("undeleted as %s", shop.State)
	}
	var replayed replayJSON
	w.query(t, &replayed, "dlq", "replay", "--webhook", shop.ID, "--reason", "webhook_deleted")
	if replayed.Plan.Paused < len(ids) || replayed.Result == nil || replayed.Result.Parked != replayed.Result.Published {
		t.Errorf("replayed as %+v %+v", replayed.Plan, replayed.Result)
	}
	w.query(t, &shop.webhookJSON, "webhooks", "resume", shop.ID)
	eventually(t, func(context.Context) error {
		for _, id := range ids {
			if d := w.show(t, id); d.Outcome != "applied" {
				return fmt.Errorf("%s is %+v", id, d)
			}
		}
		return nil
	})
	w.wantBalances(t, "ann", "10", "0")
}

// A user whose row is locked delays nobody else. The list says who holds it.
func TestALockedUserIsParkedAlone(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann", "bob")
	shop := w.hook(t, "shop", "active", userLine+addCoins)
	tx, err := w.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it may have ended
	if _, err := tx.ExecContext(withDeadline(t), "SELECT 1 FROM users WHERE community = $1 AND username = 'ann' FOR UPDATE", w.community); err != nil {
		t.Fatal(err)
	}
	var ids, amounts []string
	for n := range 10 {
		amounts = append(amounts, strconv.Itoa(n+1))
		ids = append(ids, shop.deliver(t, coinsBody("ann", amounts[n])))
	}
	w.awaitParked(t, shop.ID, "user_locked", ids...)
	wantApplied(t, w.settled(t, shop.deliver(t, coinsBody("bob", "5"))))
	if n := len(w.list(t, "--user", "ann", "--community", w.community)); n != len(ids) {
		t.Errorf("%d are listed for the user, want %d", n, len(ids))
	}
	if got := w.coinhook(t, "deliveries", "list"); !strings.Contains(got.stdout, "user_locked") || !strings.Contains(got.stdout, "Held by process ") {
		t.Errorf("the list does not say who holds the user:\n%s", got.stdout)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	w.awaitRows(t, ids...)
	w.wantNonePending(t)
	w.wantLogs(t, shop.ID, append([]string{"5"}, amounts...))
	w.wantBalances(t, "ann", "55", "0")
}

// The console pauses and resumes by clicks, and says what waits.
func TestAWebhookIsPausedInTheConsole(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t).newWorld(t, "ann")
	shop := w.hook(t, "shop", "active", userLine+addCoins)
	b := w.newBrowser(t)
	b.signInAsAdmin(w.stack)
	b.open("/webhooks/" + shop.ID + "/settings")
	b.await("● active")
	b.click(`#manage details:has([name="state"]) summary`)
	b.clickText("Pause “shop”")
	b.await("‖ paused", "The webhook is paused")
	shop.awaitParking(t)
	id := shop.deliver(t, coinsBody("ann", "5"))
	w.awaitParked(t, shop.ID, "paused", id)
	b.clickText("Overview")
	b.await("Parked: others go on", `of "shop"`)
	b.open("/deliveries/" + id)
	b.await("parked since", "paused")
	b.open("/webhooks/" + shop.ID + "/settings")
	b.click(`#manage details:has([name="state"]) summary`)
	b.clickText("Resume “shop”")
	b.await("● active", "now executed, in order")
	b.clickText("Histories")
	b.await("Coins +5 → 5")
	b.clickText("Audit trail")
	b.await("pause webhook", "resume webhook")
	w.wantBalances(t, "ann", "5", "0")
}
