package verify_test

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coinhook/coinhook/ingress/verify"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func master(t *testing.T, b byte) secret.MasterKey {
	t.Helper()
	key, err := secret.ParseMasterKey(base64.StdEncoding.EncodeToString(slices.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func github(t *testing.T, revision uint64, secrets ...secret.SealedText) *webhook.Webhook {
	t.Helper()
	rec := webhook.Record{ID: "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", SigningSecrets: secrets}
	rec.Auth.Signature = &webhook.Signature{Preset: "github"}
	w, err := webhook.Compile(rec, revision)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// TestTheVaultOpensOnceAChange: a flood of requests neither opens secrets again nor
// writes a line each.
func TestTheVaultOpensOnceAChange(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var heard []string
	vault := verify.NewVault(master(t, 1), func(id string, err error) {
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, id+": "+err.Error())
	})
	others, err := master(t, 2).SealText(secret.SigningSecret, "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", "s", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ours, err := master(t, 1).SealText(secret.SigningSecret, "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", "s", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ended := others
	ended.ExpiresAt = new(time.Now())
	for i, step := range []struct {
		w     *webhook.Webhook
		heard int
		opens bool
	}{
		{github(t, 1), 1, false},
		{github(t, 2, others), 2, false},
		{github(t, 3, ours), 2, true},
		{github(t, 4, ours, others), 3, false},
		{github(t, 5, ours, ended), 3, true},
	} {
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := vault.Of(step.w); (err == nil) != step.opens {
					t.Errorf("step %d: %v", i, err)
				}
			})
		}
		all.Wait()
		first, _ := vault.Of(step.w)
		if again, _ := vault.Of(step.w); first != again {
			t.Errorf("step %d: opened again", i)
		}
		if len(heard) != step.heard {
			t.Errorf("step %d: %q", i, heard)
		}
	}
	if _, err := vault.Of(github(t, 6)); !errors.Is(err, verify.ErrNoSecret) || !strings.Contains(err.Error(), "set-secret") {
		t.Errorf("no secret: %v", err)
	}
}

// TestAnErrorEndsWithItsSecret: one that cannot be opened stops its webhook until its
// overlap is over, and no longer.
func TestAnErrorEndsWithItsSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vault := verify.NewVault(master(t, 1), nil)
		old, err := master(t, 2).SealText(secret.SigningSecret, "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", "old", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		old.ExpiresAt = new(time.Now().Add(time.Hour))
		newest, err := master(t, 1).SealText(secret.SigningSecret, "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", "new", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w := github(t, 1, newest, old)
		if _, err := vault.Of(w); err == nil {
			t.Error("the old secret counts, and cannot be opened")
		}
		time.Sleep(time.Hour)
		if _, err := vault.Of(w); err != nil {
			t.Errorf("the old secret counts no more: %v", err)
		}
	})
}

// TestADefinitionThatCannotBeCompiledLetsNothingPass: it may be of another version.
func TestADefinitionThatCannotBeCompiledLetsNothingPass(t *testing.T) {
	t.Parallel()
	w := github(t, 1)
	w.Scheme = nil
	if _, err := verify.NewVault(master(t, 1), nil).Of(w); err == nil {
		t.Error("it has checks")
	}
}
