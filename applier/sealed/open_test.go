package sealed_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const payload = `{"coins":50,"customer":{"email":"alice@example.com"},"items":[1,2,3]}`

// rawCBC encrypts whole blocks under aesKey as they are, padding or not.
func rawCBC(tb testing.TB, iv, blocks []byte) []byte {
	tb.Helper()
	block, err := aes.NewCipher([]byte(aesKey))
	if err != nil {
		tb.Fatal(err)
	}
	out := bytes.Clone(blocks)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, out)
	return append(bytes.Clone(iv), out...)
}

func TestPaddingIsStrict(t *testing.T) {
	t.Parallel()
	key := newKey(t, webhook.CBC, aesKey)
	iv := bytes.Repeat([]byte{7}, 16)
	block := func(n int, padding ...byte) string {
		digits := strings.Repeat("1", n)
		return hex.EncodeToString(rawCBC(t, iv, append([]byte(digits), padding...)))
	}
	for n := 1; n <= 16; n++ {
		good := bytes.Repeat([]byte{byte(n)}, n)
		body := block(32-n, good...)
		if got, err := sealed.Open([]byte(body), key); err != nil || string(got) != strings.Repeat("1", 32-n) {
			t.Errorf("%d bytes of padding: %q, %v", n, got, err)
		}
		for i := range n - 1 {
			bad := bytes.Clone(good)
			bad[i] ^= 1
			fails(t, block(32-n, bad...), key)
		}
	}
	for name, body := range map[string]string{
		"no padding":                  block(16),
		"a padding of 0":              block(15, 0),
		"a padding of 17":             block(15, bytes.Repeat([]byte{17}, 17)...),
		"a padding of 255":            block(15, 255),
		"zeros":                       block(8, make([]byte, 8)...),
		"only the length (ANSI X923)": block(8, 0, 0, 0, 0, 0, 0, 0, 8),
		"nothing but padding":         block(0, bytes.Repeat([]byte{16}, 16)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fails(t, body, key)
		})
	}
}

func TestBodiesThatAreNotAForm(t *testing.T) {
	t.Parallel()
	cbc, gcm := newKey(t, webhook.CBC, aesKey), newKey(t, webhook.GCM, aesKey)
	seal := func(key sealed.Key, form sealed.Form, encoding sealed.Encoding) string {
		body, err := sealed.Seal(key, form, encoding, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		return body.Text
	}
	text := seal(gcm, sealed.Text, sealed.Hex)
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	nonce, data, tag := text[:24], text[24:len(text)-32], text[len(text)-32:]
	for name, body := range map[string]string{
		"nothing":                    "",
		"blanks":                     " \r\n\t ",
		"the payload in the clear":   payload,
		"raw bytes":                  string(raw),
		"half a byte of hex":         text[1:],
		"hex with a prefix":          "0x" + text,
		"blanks inside":              text[:10] + " " + text[10:],
		"something behind":           text + ".",
		"too much padding":           base64.StdEncoding.EncodeToString(raw) + "====",
		"both alphabets":             "-_+/" + base64.StdEncoding.EncodeToString(raw),
		"shorter than nonce and tag": text[:54],
		"a list":                     `["` + text + `"]`,
		"a number":                   "12",
		"null":                       "null",
		"a JSON string that is cut":  `"` + text,
		"a JSON string twice":        `"` + text + `" "` + text + `"`,
		"an object in a string":      fmt.Sprintf("%q", `{"iv":"`+nonce+`","data":"`+data+tag+`"}`),
		"no iv":                      `{"data":"` + data + tag + `"}`,
		"no data":                    `{"iv":"` + nonce + `"}`,
		"iv and nonce":               `{"iv":"` + nonce + `","nonce":"` + nonce + `","data":"` + data + tag + `"}`,
		"data and ciphertext":        `{"iv":"` + nonce + `","data":"` + data + tag + `","ciphertext":"` + data + tag + `"}`,
		"a name twice":               `{"iv":"` + nonce + `","iv":"` + nonce + `","data":"` + data + tag + `"}`,
		"names in capitals":          `{"IV":"` + nonce + `","Data":"` + data + tag + `"}`,
		"a number for the iv":        `{"iv":0,"data":"` + data + tag + `"}`,
		"a short tag":                `{"iv":"` + nonce + `","data":"` + data + `","tag":"` + tag[:24] + `"}`,
		"no tag":                     `{"iv":"` + nonce + `","data":"` + data + `"}`,
		"the tag twice":              `{"iv":"` + nonce + `","data":"` + data + tag + `","tag":"` + tag + `"}`,
		"a nonce of 16 bytes":        `{"iv":"` + nonce + `00000000","data":"` + data + tag + `"}`,
		"two objects":                `{"iv":"` + nonce + `","data":"` + data + tag + `"}{}`,
		"CBC, not whole blocks":      seal(cbc, sealed.Text, sealed.Hex) + "00",
		"CBC, the iv alone":          seal(cbc, sealed.Text, sealed.Hex)[:32],
		"CBC with a tag":             strings.Replace(seal(cbc, sealed.JSON, sealed.Hex), "{", `{"tag":"`+tag+`",`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fails(t, body, cbc, gcm)
		})
	}
	t.Run("without a key", func(t *testing.T) {
		t.Parallel()
		fails(t, text)
	})
}

// What says nothing in base64 must be zero: the last letter of some texts could
// otherwise be one of several.
func TestABodyHasOneText(t *testing.T) {
	t.Parallel()
	key := newKey(t, webhook.GCM, aesKey)
	body, err := sealed.Seal(key, sealed.Text, sealed.Base64URL, []byte(`{"n":1}`)) // 35 bytes, 47 letters
	if err != nil {
		t.Fatal(err)
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(body.Text) - 1
	opened := 0
	for _, c := range letters {
		if _, err := sealed.Open([]byte(body.Text[:last]+string(c)), key); err == nil {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("%d texts stand for the same body, want 1", opened)
	}
}

// A flipped bit is found wherever it is. CBC authenticates nothing: there, one
// that turns a letter of a string into another is not a matter of decryption.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	gcm := newKey(t, webhook.GCM, aesKey)
	body, err := sealed.Seal(gcm, sealed.Text, sealed.Hex, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(body.Text)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(raw) { // nonce, ciphertext, tag
		fails(t, hex.EncodeToString(flip(raw, bit)), gcm)
	}

	cbc := newKey(t, webhook.CBC, aesKey)
	raw = rawCBC(t, bytes.Repeat([]byte{7}, 16), pad(payload))
	last := len(raw) - 16
	for bit := range 8 * len(raw) {
		flipped := flip(raw, bit)
		got, err := sealed.Open([]byte(base64.StdEncoding.EncodeToString(flipped)), cbc)
		switch at := bit / 8; {
		case err != nil:
		case at >= 16 && at < last: // the block itself turns into noise
			t.Errorf("bit %d of a block was flipped, and %q came out", bit, got)
		case at >= last:
			t.Errorf("bit %d of the last block was flipped, and %q came out", bit, got)
		case len(got) != len(payload):
			t.Errorf("bit %d of the iv was flipped, and %q came out", bit, got)
		}
	}
	fails(t, hex.EncodeToString(flip(raw, 0)), cbc)
}

func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

func pad(s string) []byte {
	n := 16 - len(s)%16
	return append([]byte(s), bytes.Repeat([]byte{byte(n)}, n)...)
}

// Digits of hex may be meant as base64: the tag decides.
func TestHexDigitsThatAreBase64(t *testing.T) {
	t.Parallel()
	key := newKey(t, webhook.GCM, aesKey)
	for range 10_000 { // of which one in 70 is what is looked for
		body, err := sealed.Seal(key, sealed.Text, sealed.Hex, []byte("123"))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := hex.DecodeString(body.Text)
		if err != nil {
			t.Fatal(err)
		}
		data := base64.StdEncoding.EncodeToString(raw[12:15])
		if _, err := hex.DecodeString(data); err != nil {
			continue
		}
		opens(t, webhook.GCM, fmt.Sprintf(`{"iv":"%x","data":"%s","tag":"%x"}`, raw[:12], data, raw[15:]), []byte("123"))
		opens(t, webhook.GCM, fmt.Sprintf(`{"iv":"%x","data":"%x","tag":"%x"}`, raw[:12], raw[12:15], raw[15:]), []byte("123"))
		return
	}
	t.Error("no ciphertext looked like hex in base64")
}

// An empty payload is decrypted; that it is no JSON is another matter.
func TestAnEmptyPayload(t *testing.T) {
	t.Parallel()
	key := newKey(t, webhook.GCM, aesKey)
	body, err := sealed.Seal(key, sealed.Text, sealed.Hex, nil)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, webhook.GCM, body.Text, nil)
	opens(t, webhook.GCM, `{"iv":"`+body.Text[:24]+`","data":"","tag":"`+body.Text[24:]+`"}`, nil)
}

func TestEveryFormRoundTrips(t *testing.T) {
	t.Parallel()
	keys := map[webhook.Encryption]sealed.Key{
		webhook.CBC: newKey(t, webhook.CBC, aesKey), webhook.GCM: newKey(t, webhook.GCM, aesKey),
	}
	rapid.Check(t, func(t *rapid.T) {
		mode := rapid.SampledFrom([]webhook.Encryption{webhook.CBC, webhook.GCM}).Draw(t, "mode")
		form := rapid.SampledFrom([]sealed.Form{sealed.Text, sealed.JSON}).Draw(t, "form")
		encoding := rapid.SampledFrom([]sealed.Encoding{sealed.Base64, sealed.Base64URL, sealed.Hex}).Draw(t, "encoding")
		want := []byte(`"` + rapid.StringMatching(`[a-zA-Z0-9 é]{0,80}`).Draw(t, "payload") + `"`)
		body, err := sealed.Seal(keys[mode], form, encoding, want)
		if err != nil {
			t.Fatal(err)
		}
		text := rapid.StringMatching(`[ \t\r\n]{0,3}`).Draw(t, "before") + body.Text + rapid.StringMatching(`[ \t\r\n]{0,3}`).Draw(t, "after")
		got, err := sealed.Open([]byte(text), keys[mode])
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%s gives %q, %v, want %q", text, got, err, want)
		}
	})
}
