package secret_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/secret"
)

// deliveryKey is a key of 32 equal bytes, in base64.
func deliveryKey(letter string) string { return strings.Repeat(letter, 42) + "A=" }

func deliveryKeys(tb testing.TB, letters ...string) secret.DeliveryKeys {
	tb.Helper()
	texts := make([]string, len(letters))
	for i, letter := range letters {
		texts[i] = deliveryKey(letter)
	}
	keys, err := secret.ParseDeliveryKeys(strings.Join(texts, ","))
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

func TestParseDeliveryKeys(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		deliveryKey("a"):                                   "",
		strings.TrimRight(deliveryKey("a"), "="):           "",
		" " + deliveryKey("a") + " ,\t" + deliveryKey("b"): "",
		deliveryKey("_"):                                   "",
		"":                                                 "32 random bytes",
		deliveryKey("a") + ",":                             "32 random bytes",
		"c2hvcnQ=":                                         "32 random bytes",
		deliveryKey("!"):                                   "32 random bytes",
		deliveryKey("a") + "," + deliveryKey("a"):              "twice",
		deliveryKey("a") + ";" + deliveryKey("b"):              "32 random bytes",
		strings.Repeat("a", 43) + "=":                          "32 random bytes", // bits that are no part of the key
		hex.EncodeToString([]byte(strings.Repeat("\x01", 32))): "32 random bytes",
	} {
		keys, err := secret.ParseDeliveryKeys(text)
		switch {
		case want == "" && (err != nil || keys.IsZero()):
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want %q", text, err, want)
		case want != "" && strings.Contains(err.Error(), strings.Repeat("a", 40)):
			t.Errorf("the error shows the key: %v", err)
		}
	}
	if _, err := secret.ParseDeliveryKeys("x"); !errors.Is(err, secret.ErrDeliveryKeys) {
		t.Errorf("error %v", err)
	}
	var none secret.DeliveryKeys
	if !none.IsZero() || none.Verify(make([]byte, secret.MACSize), []byte("a")) {
		t.Error("no key verifies")
	}
}

func TestTheFirstDeliveryKeySignsAndAllVerify(t *testing.T) {
	t.Parallel()
	before, now := deliveryKeys(t, "a"), deliveryKeys(t, "b", "a")
	old := before.Sign([]byte("head"), []byte("one"), []byte("two"))
	mac := old[len("head"):]
	if len(mac) != secret.MACSize || string(old[:4]) != "head" {
		t.Fatalf("%q is signed as %x", "onetwo", old)
	}
	if !now.Verify(mac, []byte("onetwo")) || !before.Verify(mac, []byte("o"), []byte("netwo")) {
		t.Error("the old key does not verify")
	}
	fresh := now.Sign(nil, []byte("onetwo"))
	if before.Verify(fresh, []byte("onetwo")) || !now.Verify(fresh, []byte("onetwo")) {
		t.Error("the first key does not sign")
	}
	for name, ok := range map[string]bool{
		"another text": now.Verify(mac, []byte("onetwO")),
		"less":         now.Verify(mac[:secret.MACSize-1], []byte("onetwo")),
		"nothing":      now.Verify(nil, []byte("onetwo")),
		"a bit":        now.Verify(append([]byte{mac[0] ^ 1}, mac[1:]...), []byte("onetwo")),
	} {
		if ok {
			t.Errorf("%s is verified", name)
		}
	}
}

// TestMACsNeverChange: messages that lie in streams have them. Python's hmac made these.
func TestMACsNeverChange(t *testing.T) {
	t.Parallel()
	got := hex.EncodeToString(deliveryKeys(t, "a").Sign(nil, []byte("coinhook")))
	if want := "b8a4d1c781d0b917164936e9d6178e66"; got != want {
		t.Errorf("signed as %s, want %s", got, want)
	}
}

func TestDeliveryKeysAreNeverPrinted(t *testing.T) {
	t.Parallel()
	keys := deliveryKeys(t, "a")
	text, err := json.Marshal(keys)
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprint(keys, &keys, struct{ K secret.DeliveryKeys }{keys}) + fmt.Sprintf("%v %+v %#v %x %s %q", keys, keys, keys, keys, keys, keys) + string(text)
	if strings.Contains(all, "aaaa") || strings.Contains(all, "69a69a") || strings.Contains(all, "0x69") || strings.Contains(all, "105 166") {
		t.Errorf("printed as %s", all)
	}
}

func BenchmarkDeliveryMAC(b *testing.B) {
	keys, head, body := deliveryKeys(b, "a"), make([]byte, 200), make([]byte, 400)
	mac := keys.Sign(nil, head, body)
	b.Run("sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			mac = keys.Sign(mac[:0], head, body)
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			keys.Verify(mac, head, body)
		}
	})
}
