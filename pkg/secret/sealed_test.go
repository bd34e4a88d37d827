package secret_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/secret"
)

func masterKey(tb testing.TB, b byte) secret.MasterKey {
	tb.Helper()
	key, err := secret.ParseMasterKey(base64.StdEncoding.EncodeToString(fill(32, b)))
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func fill(n int, b byte) []byte { return []byte(strings.Repeat(string(rune(b)), n)) }

func TestParseMasterKey(t *testing.T) {
	t.Parallel()
	raw := append(fill(30, 'k'), 0xfb, 0xff)
	for name, text := range map[string]string{
		"base64":                 base64.StdEncoding.EncodeToString(raw),
		"base64 without padding": base64.RawStdEncoding.EncodeToString(raw),
		"base64url":              base64.URLEncoding.EncodeToString(raw),
		"with a line break":      base64.StdEncoding.EncodeToString(raw) + "\n",
	} {
		if key, err := secret.ParseMasterKey(text); err != nil || key.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":       "",
		"31 bytes":      base64.StdEncoding.EncodeToString(raw[1:]),
		"33 bytes":      base64.StdEncoding.EncodeToString(append(raw, 1)),
		"hex":           fmt.Sprintf("%x", raw),
		"32 characters": strings.Repeat("k", 32),
		"a sentence":    "correct horse battery staple",
	} {
		if _, err := secret.ParseMasterKey(text); !errors.Is(err, secret.ErrMasterKey) {
			t.Errorf("%s: error %v, want ErrMasterKey", name, err)
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	t.Parallel()
	master, aesKey := masterKey(t, 'k'), secret.NewAESKey()
	secrets := []string{"kkkk", "6b6b", "a2tr", "107 107", aesKey.Reveal(), fmt.Sprintf("%x", aesKey.Reveal()[:4])}
	holder := struct {
		Master *secret.MasterKey
		AES    secret.AESKey
	}{&master, aesKey}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{master, &master, aesKey, &aesKey, holder} {
			text := fmt.Sprintf(verb, v)
			for _, s := range secrets {
				if strings.Contains(text, s) {
					t.Errorf("%s of %T prints %s", verb, v, text)
				}
			}
		}
	}
	text, err := json.Marshal(holder)
	if err != nil || strings.Contains(string(text), aesKey.Reveal()) || strings.Contains(string(text), "kkkk") {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}

func TestAESKeys(t *testing.T) {
	t.Parallel()
	seen := map[rune]bool{}
	for range 200 {
		key := secret.NewAESKey()
		if !regexp.MustCompile(`^[A-Za-z0-9]{32}$`).MatchString(key.Reveal()) {
			t.Fatalf("made %q", key.Reveal())
		}
		if again, err := secret.ParseAESKey(key.Reveal()); err != nil || again != key {
			t.Fatalf("%q read back: %v", key.Reveal(), err)
		}
		for _, c := range key.Reveal() {
			seen[c] = true
		}
	}
	if len(seen) != 62 {
		t.Errorf("%d different characters in 200 keys, want 62", len(seen))
	}
	if _, err := secret.ParseAESKey(" !\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"); err != nil {
		t.Errorf("signs: %v", err)
	}
	for _, text := range []string{"", strings.Repeat("k", 31), strings.Repeat("k", 33), strings.Repeat("k", 31) + "\n", strings.Repeat("k", 30) + "é", strings.Repeat("k", 31) + "\x7f"} {
		if _, err := secret.ParseAESKey(text); !errors.Is(err, secret.ErrAESKey) {
			t.Errorf("%q: error %v, want ErrAESKey", text, err)
		}
	}
}

func TestSealedKeys(t *testing.T) {
	t.Parallel()
	const id = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	master, aesKey := masterKey(t, 'k'), secret.NewAESKey()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	kept, err := master.Seal(id, aesKey, "gcm", now)
	if err != nil || !regexp.MustCompile(`^v1\.[0-9a-f]{8}\.[A-Za-z0-9_-]{80}$`).MatchString(kept.Sealed) || kept.Mode != "gcm" || !kept.CreatedAt.Equal(now) {
		t.Fatalf("kept as %+v, %v", kept, err)
	}
	if got, err := master.Unseal(id, kept); err != nil || got != aesKey {
		t.Errorf("unsealed: %v", err)
	}
	if again, _ := master.Seal(id, aesKey, "gcm", now); again.Sealed == kept.Sealed {
		t.Error("the same key was sealed to the same text")
	}
	for name, tc := range map[string]struct {
		master secret.MasterKey
		id     string
		sealed string
		want   string
	}{
		"no master key":      {secret.MasterKey{}, id, kept.Sealed, "COINHOOK_MASTER_KEY is not set"},
		"another master key": {masterKey(t, 'o'), id, kept.Sealed, "under another COINHOOK_MASTER_KEY"},
		"another webhook":    {master, "wh_bbbbbbbbbbbbbbbbbbbbbbbbbb", kept.Sealed, "for something else"},
		"another version":    {master, id, "v2" + kept.Sealed[2:], "does not know"},
		"no form":            {master, id, "", "does not know"},
		"no base64":          {master, id, kept.Sealed + "!", "damaged"},
	} {
		if key, err := tc.master.Unseal(tc.id, secret.SealedKey{Sealed: tc.sealed}); err == nil || !strings.Contains(err.Error(), tc.want) || !key.IsZero() {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := (secret.MasterKey{}).Seal(id, aesKey, "gcm", now); !errors.Is(err, secret.ErrNoMasterKey) {
		t.Errorf("sealed without a master key: %v", err)
	}
	rapid.Check(t, func(t *rapid.T) {
		box, err := base64.RawURLEncoding.DecodeString(kept.Sealed[12:])
		if err != nil {
			t.Fatal(err)
		}
		bit := rapid.IntRange(0, 8*len(box)-1).Draw(t, "bit")
		box[bit/8] ^= 1 << (bit % 8)
		if _, err := master.Unseal(id, secret.SealedKey{Sealed: kept.Sealed[:12] + base64.RawURLEncoding.EncodeToString(box)}); err == nil {
			t.Fatal("a sealed text was changed and still opened")
		}
	})
}
