package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// receiptOf asks for a receipt with the webhook's key.
func (h *hook) receiptOf(t *testing.T, path string) answer {
	t.Helper()
	return h.send(t, http.MethodGet, path, http.Header{"X-Api-Key": {h.APIKey}}, nil)
}

func (h *hook) receiptPath(id string) string { return "/hooks/" + h.ID + "/deliveries/" + id }

// awaitReceipt returns the receipt once it has the status.
func (h *hook) awaitReceipt(t *testing.T, path, status string) map[string]any {
	t.Helper()
	var receipt map[string]any
	eventually(t, func(context.Context) error {
		got := h.receiptOf(t, path)
		receipt = nil
		if err := json.Unmarshal([]byte(got.body), &receipt); err != nil || got.status != http.StatusOK || receipt["status"] != status {
			return fmt.Errorf("the receipt is %d %s, want it %s", got.status, got.body, status)
		}
		return nil
	})
	want := []string{"detail", "finished_at", "id", "outcome", "reason", "received_at", "status"}
	if names := slices.Sorted(maps.Keys(receipt)); !slices.Equal(names, want) {
		t.Errorf("the receipt has the members %v, want %v", names, want)
	}
	return receipt
}

// A sender follows Location, and learns what became of its delivery: nothing of the user,
// of amounts or of balances, and nothing of other webhooks.
func TestReceipts(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	shop, game := w.hook(t, "shop", "active", userLine+addCoins), w.hook(t, "game", "active", userLine+takeCoins)
	accepted := shop.post(t, coinsBody("ann", "4711"))
	applied := accepted.receipt(t).ID
	location := accepted.header.Get("Location")
	if location != shop.receiptPath(applied) {
		t.Fatalf("Location = %q", location)
	}
	receipt := shop.awaitReceipt(t, location, "success")
	if receipt["id"] != applied || receipt["outcome"] != "applied" || receipt["reason"] != nil || receipt["finished_at"] == nil {
		t.Errorf("receipt = %v", receipt)
	}
	failed := game.deliver(t, coinsBody("ann", "987654"))
	receipt = game.awaitReceipt(t, game.receiptPath(failed), "failed")
	if receipt["reason"] != "insufficient_balance" || receipt["detail"] == nil {
		t.Errorf("receipt = %v", receipt)
	}
	for _, secret := range []string{"4711", "987654", "ann"} {
		if strings.Contains(fmt.Sprint(receipt), secret) {
			t.Errorf("the receipt tells %q: %v", secret, receipt)
		}
	}
	wantProblem(t, game.receiptOf(t, game.receiptPath(applied)), http.StatusNotFound, "delivery_not_found")
	wantProblem(t, game.receiptOf(t, game.receiptPath("01920f4e-7f00-7000-8000-000000000000")), http.StatusNotFound, "delivery_not_found")
	wantProblem(t, game.receiptOf(t, shop.receiptPath(applied)), http.StatusUnauthorized, "invalid_api_key")

	shop.pause(t)
	parked := shop.deliver(t, coinsBody("ann", "1"))
	shop.awaitReceipt(t, shop.receiptPath(parked), "pending")

	draft := w.hook(t, "draft", "draft", userLine+addCoins)
	captured := draft.post(t, coinsBody("ann", "1"))
	wantProblem(t, draft.receiptOf(t, draft.receiptPath(captured.receipt(t).ID)), http.StatusNotFound, "delivery_not_found")
	if captured.header.Get("Location") != "" {
		t.Errorf("a sample has the receipt %s", captured.header.Get("Location"))
	}

	w.stopParts(t, w.appliers()...)
	got := shop.receiptOf(t, location)
	wantProblem(t, got, http.StatusServiceUnavailable, "not_accepted")
	if got.header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	shop.deliver(t, coinsBody("ann", "1")) // the 202 needs no applier
}

// A webhook that a signature alone protects gives no receipts: a request for one has
// nothing to sign.
func TestSignedWebhooksGiveNoReceipts(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := &hook{world: w}
	h.apply(t, fmt.Sprintf("name: github\ncommunity: %s\nstate: active\nauth: {signature: github}\n%s%s", w.community, userLine, addCoins))
	var set map[string]any
	w.query(t, &set, "webhooks", "set-secret", h.ID, "--secret", "a secret")
	eventually(t, func(context.Context) error {
		got := h.receiptOf(t, h.receiptPath("01920f4e-7f00-7000-8000-000000000000"))
		if got.status != http.StatusNotFound || !strings.Contains(got.body, "delivery_not_found") {
			return fmt.Errorf("answered %d %s", got.status, got.body)
		}
		return nil
	})
}
