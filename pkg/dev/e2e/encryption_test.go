package e2e

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// aBox is what a sender encrypted: a body's parts, as bytes.
type aBox struct{ iv, data, tag []byte }

// blob is the parts one after the other.
func (b aBox) blob() []byte { return slices.Concat(b.iv, b.data, b.tag) }

// seal encrypts with AES-256 as a sender would, by the standard library alone.
func seal(t *testing.T, mode, key, payload string) aBox {
	t.Helper()
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	if mode == "gcm" {
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		nonce := randomBytes(t, gcm.NonceSize())
		data := gcm.Seal(nil, nonce, []byte(payload), nil)
		end := len(data) - gcm.Overhead()
		return aBox{iv: nonce, data: data[:end], tag: data[end:]}
	}
	padding := aes.BlockSize - len(payload)%aes.BlockSize
	data := append([]byte(payload), bytes.Repeat([]byte{byte(padding)}, padding)...)
	iv := randomBytes(t, aes.BlockSize)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	return aBox{iv: iv, data: data}
}

// randomBytes begin so that base64 and base64url differ.
func randomBytes(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	copy(b, "\xff\xff\xff")
	return b
}

var textForms = map[string]func([]byte) string{
	"hex":                 hex.EncodeToString,
	"hex_in_capitals":     func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) },
	"base64":              base64.StdEncoding.EncodeToString,
	"base64_unpadded":     base64.RawStdEncoding.EncodeToString,
	"base64url":           base64.URLEncoding.EncodeToString,
	"base64url_unpadded":  base64.RawURLEncoding.EncodeToString,
	"base64_across_lines": func(b []byte) string { return brokenIntoLines(base64.StdEncoding.EncodeToString(b)) },
}

// brokenIntoLines breaks a text as openssl does.
func brokenIntoLines(text string) string {
	const length = 64
	var b strings.Builder
	for ; len(text) > length; text = text[length:] {
		b.WriteString(text[:length] + "\n")
	}
	return b.String() + text + "\n"
}

// bodyForms are the accepted ones, but for how bytes are written.
func bodyForms(mode string, b aBox, text func([]byte) string) map[string]string {
	withTag := slices.Concat(b.data, b.tag)
	forms := map[string]string{
		"text":               text(b.blob()),
		"a_JSON_string":      fmt.Sprintf("%q", text(b.blob())),
		"iv_and_data":        fmt.Sprintf(`{"iv":%q,"data":%q}`, text(b.iv), text(withTag)),
		"nonce_and_data":     fmt.Sprintf(`{"nonce": %q, "data": %q}`, text(b.iv), text(withTag)),
		"iv_and_ciphertext":  fmt.Sprintf(`{"ciphertext":%q,"iv":%q}`, text(withTag), text(b.iv)),
		"with_other_members": fmt.Sprintf(`{"v":1,"iv":%q,"data":%q,"alg":{}}`, text(b.iv), text(withTag)),
	}
	if mode == "gcm" {
		forms["tag_apart"] = fmt.Sprintf(`{"iv":%q,"data":%q,"tag":%q}`, text(b.iv), text(b.data), text(b.tag))
		forms["all_names_of_GCM"] = fmt.Sprintf(`{"nonce":%q,"ciphertext":%q,"tag":%q}`, text(b.iv), text(b.data), text(b.tag))
	}
	return forms
}

// sealable is a payload whose body needs padding in base64, whatever its form.
func sealable(mode, user, amount string) string {
	payload := coinsBody(user, amount)
	for {
		length := len(payload) + 16 // GCM's tag
		if mode == "cbc" {
			length -= len(payload) % aes.BlockSize
		}
		if length%3 == 1 {
			return payload
		}
		payload += " "
	}
}

// setEncryption turns encryption on with a key that is made or given, and waits
// until the ingress has heard of it.
func (h *hook) setEncryption(t *testing.T, mode, given string) {
	t.Helper()
	args := []string{"webhooks", "set-encryption", h.ID, mode}
	if given != "" {
		args = append(args, "--aes-key", given)
	}
	var got webhookJSON
	h.query(t, &got, args...)
	switch {
	case given != "" && got.AESKey != "":
		t.Errorf("the key that was given is shown as %q", got.AESKey)
	case given == "" && len(got.AESKey) != 32:
		t.Fatalf("the key that was made is %q, want 32 characters", got.AESKey)
	}
	h.AESKey = got.AESKey + given
	eventually(t, func(context.Context) error {
		if got := h.post(t, `{"before":"encryption"}`); got.status != http.StatusBadRequest {
			return fmt.Errorf("answer = %d %s", got.status, got.body)
		}
		return nil
	})
}

// encrypted returns a webhook that adds coins, for each mode set in another way.
func (w *world) encrypted(t *testing.T, mode string) *hook {
	t.Helper()
	switch mode {
	case "gcm":
		h := w.hook(t, mode, "active", userLine+addCoins)
		h.setEncryption(t, mode, "")
		return h
	default:
		h := w.hook(t, mode, "active", "encryption: cbc\n"+userLine+addCoins)
		if len(h.AESKey) != 32 {
			t.Fatalf("apply made the AES key %q, want 32 characters", h.AESKey)
		}
		return h
	}
}

func TestEncryptedBodiesOfEachFormAreApplied(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"gcm", "cbc"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := sharedStack(t).newWorld(t, "ann")
			h := w.encrypted(t, mode)
			names := map[string]string{} // of a form, by delivery
			for textName, text := range textForms {
				box := seal(t, mode, h.AESKey, sealable(mode, "ann", "1"))
				for bodyName, body := range bodyForms(mode, box, text) {
					names[h.deliver(t, body, "X-Encrypted", "true")] = bodyName + "_in_" + textName
				}
			}
			w.awaitRows(t, slices.Collect(maps.Keys(names))...)
			all := w.list(t, "--webhook", h.ID, "--limit", "1000", "--status", "success")
			for _, d := range all {
				if d.Outcome != "applied" {
					t.Errorf("%s: %s", names[d.ID], d.Outcome)
				}
				delete(names, d.ID)
			}
			for id, name := range names {
				t.Errorf("%s is not applied: %+v", name, w.show(t, id))
			}
			w.wantBalances(t, "ann", fmt.Sprint(len(all)), "0")
			d := w.show(t, all[0].ID)
			if want := sealable(mode, "ann", "1"); d.Decrypted == nil || *d.Decrypted != want {
				t.Errorf("decrypted payload = %v, want %q", d.Decrypted, want)
			}
		})
	}
}

// givenKey is one that the sender has already.
const givenKey = "0123456789 abcdefghij ABCDEFGHI~"

func TestWhatCannotBeDecryptedIsAcceptedAndFails(t *testing.T) {
	t.Parallel()
	details := make(chan string, 100)
	t.Run("modes", func(t *testing.T) {
		for _, mode := range []string{"gcm", "cbc"} {
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				w := sharedStack(t).newWorld(t, "ann")
				h := w.hook(t, "shop", "active", userLine+addCoins)
				h.setEncryption(t, mode, givenKey)
				wantUndecryptable(t, h, mode, details)
			})
		}
	})
	close(details)
	first := <-details
	for detail := range details {
		if detail != first {
			t.Errorf("details = %q and %q, want one for all", first, detail)
		}
	}
}

func wantUndecryptable(t *testing.T, h *hook, mode string, details chan<- string) {
	t.Helper()
	text := base64.StdEncoding.EncodeToString
	payload := sealable(mode, "ann", "1")
	flipped := func(part func(b *aBox) *byte) string {
		b := seal(t, mode, h.AESKey, payload)
		*part(&b) ^= 1
		return text(b.blob())
	}
	bodies := map[string]string{
		"a_bit_of_the_first_byte":  flipped(func(b *aBox) *byte { return &b.iv[0] }),
		"a_bit_of_the_first_block": flipped(func(b *aBox) *byte { return &b.data[0] }),
		"a_bit_at_the_end":         flipped(func(b *aBox) *byte { return &b.data[len(b.data)-1] }),
		"another_key":              text(seal(t, mode, strings.Repeat("k", 32), payload).blob()),
		"the_payload_as_it_is":     payload,
		"no_text_of_an_encoding":   "%%%",
		"an_empty_object":          "{}",
		"cut_off":                  text(seal(t, mode, h.AESKey, payload).blob()[:30]),
		"an_object_without_an_iv":  fmt.Sprintf(`{"iv":"","data":%q}`, text(seal(t, mode, h.AESKey, payload).data)),
	}
	if mode == "gcm" {
		bodies["a_bit_of_the_tag"] = flipped(func(b *aBox) *byte { return &b.tag[15] })
	} else {
		bodies["a_payload_that_is_not_JSON"] = text(seal(t, mode, h.AESKey, "user=ann&amount=1").blob())
	}
	good := h.post(t, text(seal(t, mode, h.AESKey, payload).blob()), "X-Encrypted", "true")
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			got := h.post(t, body, "X-Encrypted", "true")
			r := got.receipt(t)
			if r.Status != "pending" || len(got.body) != len(good.body) || len(got.header) != len(good.header) {
				t.Errorf("answer = %s %v, and to a good body %s %v", got.body, got.header, good.body, good.header)
			}
			d := h.settled(t, r.ID)
			wantFailed(t, d, failure{body: body, reason: "decryption_failed"})
			if d.Decrypted != nil || d.User != nil || strings.Contains(d.Detail, h.AESKey) {
				t.Errorf("delivery = %+v, want nothing decrypted and no key", d)
			}
			details <- d.Detail
		})
	}
	wantApplied(t, h.settled(t, good.receipt(t).ID))
	h.wantBalances(t, "ann", "1", "0")
}

func TestTheHeaderOfEncryptionMustFitTheWebhook(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.encrypted(t, "cbc")
	plain := w.hook(t, "plain", "active", userLine+addCoins)
	sealed := hex.EncodeToString(seal(t, "cbc", h.AESKey, coinsBody("ann", "1")).blob())
	for _, value := range []string{"", "false", "1"} {
		wantProblem(t, h.post(t, sealed, "X-Encrypted", value), http.StatusBadRequest, "encryption_required")
	}
	wantProblem(t, plain.post(t, coinsBody("ann", "1"), "X-Encrypted", "true"), http.StatusBadRequest, "encryption_not_enabled")
	// An API key that is wrong says nothing of encryption.
	wantProblem(t, h.post(t, sealed, "X-Api-Key", "none"), http.StatusUnauthorized, "invalid_api_key")
	// Nor does a signature that is wrong.
	signed := w.signed(t, "signed", "{signature: github}", "s")
	const body = `{"user":"ann","amount":1}`
	signed.wantRefused(t, "forged and encrypted", http.StatusUnauthorized, "invalid_signature", body, "X-Encrypted", "true")
	signed.wantRefused(t, "signed and encrypted", http.StatusBadRequest, "encryption_not_enabled", body,
		append(signGitHub("s", "1", body, time.Now()), "X-Encrypted", "true")...)
	wantApplied(t, w.settled(t, h.deliver(t, sealed, "X-Encrypted", "true")))
	w.wantBalances(t, "ann", "1", "0")
	if all := w.list(t, "--community", w.community); len(all) != 1 {
		t.Errorf("%d deliveries, want the accepted one", len(all))
	}
}

func TestEncryptMakesBodiesThatAreApplied(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	sent := 0
	for _, mode := range []string{"gcm", "cbc"} {
		h := w.encrypted(t, mode)
		for _, flags := range [][]string{nil, {"--form", "json"}, {"--encoding", "hex"}, {"--form", "json", "--encoding", "base64url"}} {
			t.Run(mode+strings.Join(flags, "_"), func(t *testing.T) {
				args := append([]string{"encrypt", mode, "--community", w.community, "-f", "-"}, flags...)
				made := run(t, w.Dir(), w.Env(), coinsBody("ann", "2"), args...)
				if made.code != 0 || strings.Contains(made.stdout+made.stderr, h.AESKey) || !strings.Contains(made.stderr, h.URL) {
					t.Fatalf("exit %d: %s%s; want a body, and the way to send it without the key", made.code, made.stdout, made.stderr)
				}
				wantApplied(t, w.settled(t, h.deliver(t, made.stdout, "X-Encrypted", "true")))
				sent++
			})
		}
	}
	w.wantBalances(t, "ann", fmt.Sprint(2*sent), "0")
}

func TestTheTimeOfAnAnswerDoesNotTellAGoodBodyFromABrokenOne(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann", "bob")
	for mode, user := range map[string]string{"gcm": "ann", "cbc": "bob"} {
		t.Run(mode, func(t *testing.T) {
			h := w.encrypted(t, mode)
			const pairs = 200
			var good, broken []time.Duration
			var ids [2][]string
			for i := range 2 * pairs {
				b := seal(t, mode, h.AESKey, sealable(mode, user, "1"))
				// One follows another, so that both meet the same moments.
				isBroken := i%4 == 1 || i%4 == 2
				if isBroken {
					b.data[0] ^= 1
				}
				body := base64.StdEncoding.EncodeToString(b.blob())
				began := time.Now()
				id := h.deliver(t, body, "X-Encrypted", "true")
				took := time.Since(began)
				if isBroken {
					broken, ids[1] = append(broken, took), append(ids[1], id)
				} else {
					good, ids[0] = append(good, took), append(ids[0], id)
				}
			}
			ratio := float64(median(broken)) / float64(median(good))
			t.Logf("median of %d: %s for good bodies, %s for broken ones; ratio %.3f", pairs, median(good), median(broken), ratio)
			if ratio >= 2 || ratio <= 0.5 {
				t.Errorf("the answer to a broken body takes %.2f times that to a good one, want less than twice either way", ratio)
			}
			w.awaitRows(t, slices.Concat(ids[0], ids[1])...)
			w.wantBalances(t, user, fmt.Sprint(len(good)), "0")
			if failed := w.list(t, "--webhook", h.ID, "--reason", "decryption_failed", "--limit", "1000"); len(failed) != len(broken) {
				t.Errorf("%d failed with decryption_failed, want %d", len(failed), len(broken))
			}
		})
	}
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
