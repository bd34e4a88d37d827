package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// A URL is a webhook's only credential in so many words only, and then no service
// writes its id into a log, at any level. An admin finds the webhook by what stands
// there.
func TestKeylessWebhooks(t *testing.T) {
	t.Parallel()
	w := newConsoleStack(t, "LOG_LEVEL=debug").newWorld(t, "ann")
	implied := &hook{world: w}
	implied.apply(t, fmt.Sprintf("name: implied\ncommunity: %s\nstate: active\n%s%s", w.community, userLine, addCoins))
	implied.awaitKnown(t)
	wantProblem(t, implied.post(t, coinsBody("ann", "5"), "X-Api-Key", ""), http.StatusUnauthorized, "invalid_api_key")
	ids := []string{implied.deliver(t, coinsBody("ann", "5"))}

	keyless := &hook{world: w}
	yaml := fmt.Sprintf("name: keyless\ncommunity: %s\nstate: active\nauth: {}\n%s%s", w.community, userLine, addCoins)
	keyless.apply(t, yaml)
	if keyless.APIKey != "" {
		t.Errorf("`auth: {}` made the key %s", keyless.APIKey)
	}
	eventually(t, func(context.Context) error {
		if got := keyless.post(t, "", "X-Api-Key", ""); got.status != http.StatusBadRequest { // empty_body
			return fmt.Errorf("answered %d", got.status)
		}
		return nil
	})
	ids = append(ids, keyless.deliver(t, coinsBody("ann", "7"), "X-Api-Key", ""))
	w.awaitRows(t, ids...)
	w.wantBalances(t, "ann", "12", "0")
	keyless.deliver(t, coinsBody("nobody", "7"), "X-Api-Key", "")
	keyless.post(t, coinsBody("ann", "7"), "X-Api-Key", "", "X-Encrypted", "true")

	fingerprint := webhook.Fingerprint(keyless.ID)
	for _, part := range []string{devstack.Ingress, "applier-*"} {
		eventually(t, func(context.Context) error { return logged(w, part, fingerprint) })
		if logged(w, part, keyless.ID) == nil {
			t.Errorf("the log of %s has the id of a keyless webhook", part)
		}
	}
	eventually(t, func(context.Context) error { return logged(w, devstack.Ingress, implied.ID) })
	var shown webhookJSON
	w.query(t, &shown, "webhooks", "show", fingerprint)
	if shown.ID != keyless.ID {
		t.Errorf("%s is %s, want %s", fingerprint, shown.ID, keyless.ID)
	}
}

// logged returns nil if a part's log has a text.
func logged(w *world, part, text string) error {
	paths, err := filepath.Glob(filepath.Join(w.Dir(), "logs", part+".log"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil || bytes.Contains(content, []byte(text)) {
			return err
		}
	}
	return errors.New("no log of " + part + " has " + text)
}
