package secret_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/secret"
)

func TestSealedText(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	master, other := masterKey(t, 1), masterKey(t, 2)
	sealed, err := master.SealText(secret.SigningSecret, "wh_a", "whsec_x", now)
	if err != nil || strings.Contains(sealed.Sealed, "whsec_x") || !sealed.CreatedAt.Equal(now) {
		t.Fatalf("%+v, %v", sealed, err)
	}
	if text, err := master.OpenText(secret.SigningSecret, "wh_a", sealed); err != nil || text != "whsec_x" {
		t.Errorf("opened as %q, %v", text, err)
	}
	for name, open := range map[string]func() (string, error){
		"another webhook":    func() (string, error) { return master.OpenText(secret.SigningSecret, "wh_b", sealed) },
		"another purpose":    func() (string, error) { return master.OpenText(secret.BasicPassword, "wh_a", sealed) },
		"another master key": func() (string, error) { return other.OpenText(secret.SigningSecret, "wh_a", sealed) },
		"no master key":      func() (string, error) { return secret.MasterKey{}.OpenText(secret.SigningSecret, "wh_a", sealed) },
	} {
		if text, err := open(); err == nil || strings.Contains(err.Error(), "whsec") {
			t.Errorf("%s opens it: %q, %v", name, text, err)
		}
	}
	if _, err := (secret.MasterKey{}).SealText(secret.SigningSecret, "wh_a", "x", now); err == nil {
		t.Error("sealed without a key")
	}
	again, changed, err := other.Opening(master).ResealText(secret.SigningSecret, "wh_a", sealed)
	if err != nil || !changed {
		t.Fatalf("sealed again: %t, %v", changed, err)
	}
	if text, err := other.OpenText(secret.SigningSecret, "wh_a", again); err != nil || text != "whsec_x" {
		t.Errorf("sealed again, it opens as %q, %v", text, err)
	}
	if _, changed, err := other.ResealText(secret.SigningSecret, "wh_a", again); err != nil || changed {
		t.Errorf("sealed a third time: %t, %v", changed, err)
	}
	end := now.Add(time.Hour)
	sealed.ExpiresAt = &end
	if !sealed.Valid(now) || sealed.Valid(end) {
		t.Error("a secret is valid until it ends")
	}
}
