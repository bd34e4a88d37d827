package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

type rejectionsJSON struct {
	Counts map[string]int `json:"counts"`
	Last   []struct {
		At        time.Time                      `json:"at"`
		Code      string                         `json:"code"`
		Cause     string                         `json:"cause"`
		Address   string                         `json:"address"`
		Method    string                         `json:"method"`
		Headers   []struct{ Name, Value string } `json:"headers"`
		BodyBytes int                            `json:"body_bytes"`
	} `json:"last"`
}

// An admin finds out why a sender is refused, from the command. Nothing of a refused
// request is a delivery, and no secret of it is kept.
func TestRefusedRequestsAreListedWithTheirCause(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	const wrong = "chk_thisisthewrongkeythisisthewrongkeythisisth0"
	for range 15 {
		wantProblem(t, h.post(t, coinsBody("ann", "5"), "X-Api-Key", wrong, "User-Agent", "forger/1"), http.StatusUnauthorized, "invalid_api_key")
	}
	wantProblem(t, h.post(t, coinsBody("ann", "5"), "X-Encrypted", "true"), http.StatusBadRequest, "encryption_not_enabled")
	var got rejectionsJSON
	eventually(t, func(context.Context) error {
		w.query(t, &got, "webhooks", "rejections", h.ID, "--since", "1h")
		// awaitKnown has sent a wrong key, too.
		if got.Counts["invalid_api_key"] < 16 || got.Counts["encryption_not_enabled"] != 1 {
			return fmt.Errorf("the counts are %v", got.Counts)
		}
		return nil
	})
	found := false
	for _, r := range got.Last {
		if r.At.IsZero() || r.Cause == "" || r.Address != "127.0.0.1" || r.Method != "POST" || r.Code == "" {
			t.Errorf("rejection = %+v", r)
		}
		if r.BodyBytes != len(coinsBody("ann", "5")) {
			continue // of awaitKnown
		}
		for _, header := range r.Headers {
			found = found || header.Name == "User-Agent" && header.Value == "forger/1"
			if strings.EqualFold(header.Name, "X-Api-Key") {
				t.Errorf("a key is kept: %+v", r)
			}
		}
	}
	if !found || strings.Contains(fmt.Sprint(got), wrong) {
		t.Errorf("the last ones are %+v", got.Last)
	}
	if n := w.count(t, "SELECT count(*) FROM outcomes WHERE community = $1"); n != 0 {
		t.Errorf("%d outcomes of requests that were refused", n)
	}
}

// The sender of a forged signature learns nothing. The admin reads the cause.
func TestForgedSignaturesAreListedWithTheirCause(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := &hook{world: w}
	h.apply(t, fmt.Sprintf("name: github\ncommunity: %s\nstate: active\nauth: {signature: github}\n%s%s", w.community, userLine, addCoins))
	var set map[string]any
	w.query(t, &set, "webhooks", "set-secret", h.ID, "--secret", "the right secret")
	forged := "sha256=" + strings.Repeat("0", 64)
	eventually(t, func(context.Context) error {
		if got := h.post(t, coinsBody("ann", "5"), "X-Hub-Signature-256", forged); got.status != http.StatusUnauthorized {
			return fmt.Errorf("answered %d %s", got.status, got.body)
		}
		return nil
	})
	eventually(t, func(context.Context) error {
		var got rejectionsJSON
		w.query(t, &got, "webhooks", "rejections", h.ID)
		for _, r := range got.Last {
			if r.Code == "invalid_signature" && r.Cause != "" && !strings.Contains(fmt.Sprint(r), forged) {
				return nil
			}
		}
		return fmt.Errorf("rejections = %+v", got)
	})
}
