package secret_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/secret"
)

func encoded(b byte) string { return base64.StdEncoding.EncodeToString(fill(32, b)) }

func parse(tb testing.TB, text string) secret.MasterKey {
	tb.Helper()
	key, err := secret.ParseMasterKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func TestTheFirstMasterKeySealsAndAllOpen(t *testing.T) {
	t.Parallel()
	const id = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	aesKey, now := secret.NewAESKey(), time.Now()
	oldKey, newKey := masterKey(t, 'o'), masterKey(t, 'n')
	both := parse(t, encoded('n')+", "+encoded('o')+"\n")

	underOld, err := oldKey.Seal(id, aesKey, "gcm", now)
	if err != nil {
		t.Fatal(err)
	}
	underFirst, err := both.Seal(id, aesKey, "gcm", now)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		key    secret.MasterKey
		sealed secret.SealedKey
		opens  bool
	}{
		"both open what the first sealed":     {both, underFirst, true},
		"both open what the second sealed":    {both, underOld, true},
		"the first opens what both sealed":    {newKey, underFirst, true},
		"the second is not used to seal":      {oldKey, underFirst, false},
		"the first cannot open the second's":  {newKey, underOld, false},
		"keys that are joined open, too":      {newKey.Opening(oldKey), underOld, true},
		"keys joined to none open":            {secret.MasterKey{}.Opening(oldKey), underOld, true},
		"the same key twice is the same key":  {parse(t, encoded('o')+","+encoded('o')), underOld, true},
		"a joined list of keys opens, too":    {masterKey(t, 'x').Opening(both), underOld, true},
		"what the joined ones sealed is open": {masterKey(t, 'x').Opening(both), underFirst, true},
	} {
		got, err := tc.key.Unseal(id, tc.sealed)
		if opened := err == nil && got == aesKey; opened != tc.opens {
			t.Errorf("%s: %v, %v", name, opened, err)
		}
	}
	if _, err := (secret.MasterKey{}).Opening(oldKey).Seal(id, aesKey, "gcm", now); !errors.Is(err, secret.ErrNoMasterKey) {
		t.Errorf("an old key sealed: %v", err)
	}
}

func TestReseal(t *testing.T) {
	t.Parallel()
	const id = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	aesKey, now := secret.NewAESKey(), time.Now().UTC()
	oldKey, newKey := masterKey(t, 'o'), masterKey(t, 'n')
	kept, err := oldKey.Seal(id, aesKey, "cbc", now)
	if err != nil {
		t.Fatal(err)
	}
	end := now.Add(time.Hour)
	kept.ExpiresAt = &end

	again, changed, err := newKey.Opening(oldKey).Reseal(id, kept)
	if err != nil || !changed || again.Mode != "cbc" || !again.CreatedAt.Equal(now) || again.ExpiresAt == nil || !again.ExpiresAt.Equal(end) {
		t.Fatalf("sealed again as %+v (%v), %v", again, changed, err)
	}
	if got, err := newKey.Unseal(id, again); err != nil || got != aesKey {
		t.Errorf("the new key opens it: %v", err)
	}
	if _, err := oldKey.Unseal(id, again); err == nil {
		t.Error("the old key still opens it")
	}
	if same, changed, err := newKey.Opening(oldKey).Reseal(id, again); err != nil || changed || same != again {
		t.Errorf("sealed twice: %v, %v", changed, err)
	}
	if same, changed, err := masterKey(t, 'x').Reseal(id, kept); err == nil || changed || same != kept {
		t.Errorf("without a key that opens it: %v, %v", changed, err)
	}
	if _, _, err := (secret.MasterKey{}).Opening(oldKey).Reseal(id, kept); !errors.Is(err, secret.ErrNoMasterKey) {
		t.Errorf("without a key that seals: %v", err)
	}
}

func TestAListOfMasterKeysIsReadWhole(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a bad second key":   encoded('a') + ",nonsense",
		"a bad first key":    "nonsense," + encoded('a'),
		"a comma at the end": encoded('a') + ",",
		"a comma alone":      ",",
	} {
		if key, err := secret.ParseMasterKey(text); !errors.Is(err, secret.ErrMasterKey) || !key.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	both := parse(t, encoded('k')+","+encoded('l'))
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%d"} {
		if text := fmt.Sprintf(verb, both); strings.Contains(text, "kkk") || strings.Contains(text, "6b6b") || strings.Contains(text, "107 107") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}
