package sealed_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	webhookID = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	newAESKey = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
)

func masterKey(tb testing.TB, letter string) secret.MasterKey {
	tb.Helper()
	key, err := secret.ParseMasterKey(strings.Repeat(letter, 42) + "A")
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func sealedKey(tb testing.TB, master secret.MasterKey, text string, mode webhook.Encryption, expires *time.Time) secret.SealedKey {
	tb.Helper()
	key, err := secret.ParseAESKey(text)
	if err != nil {
		tb.Fatal(err)
	}
	kept, err := master.Seal(webhookID, key, string(mode), noon)
	if err != nil {
		tb.Fatal(err)
	}
	kept.ExpiresAt = expires
	return kept
}

func body(tb testing.TB, mode webhook.Encryption, key string) []byte {
	tb.Helper()
	b, err := sealed.Seal(newKey(tb, mode, key), sealed.Text, sealed.Base64, []byte(payload))
	if err != nil {
		tb.Fatal(err)
	}
	return []byte(b.Text)
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	const inTheClear, failed, waits = "in the clear", "failed", "waits"
	master, other := masterKey(t, "m"), masterKey(t, "o")
	end := noon.Add(time.Hour)
	newest := sealedKey(t, master, newAESKey, webhook.GCM, nil)
	old := sealedKey(t, master, aesKey, webhook.CBC, &end)
	lost := sealedKey(t, other, aesKey, webhook.CBC, &end)
	rotated := []secret.SealedKey{newest, old}
	for name, tc := range map[string]struct {
		master   secret.MasterKey
		mode     webhook.Encryption // of the definition
		keys     []secret.SealedKey
		body     []byte
		received time.Time
		plain    bool // sent without the header
		revision uint64
		want     string
	}{
		"the newest key": {
			master: master, mode: webhook.GCM, keys: rotated, body: body(t, webhook.GCM, newAESKey), received: end, revision: 2, want: payload,
		},
		"the old key in the overlap, in its own mode": {
			master: master, mode: webhook.GCM, keys: rotated, body: body(t, webhook.CBC, aesKey), received: end.Add(-1), revision: 2, want: payload,
		},
		"the old key in the mode of the new one": {
			master: master, mode: webhook.GCM, keys: rotated, body: body(t, webhook.GCM, aesKey), received: noon, revision: 2, want: failed,
		},
		"the old key after the overlap": {
			master: master, mode: webhook.GCM, keys: rotated, body: body(t, webhook.CBC, aesKey), received: end, revision: 2, want: failed,
		},
		"a body in the clear": {
			master: master, mode: webhook.GCM, keys: rotated, body: []byte(payload), received: noon, revision: 2, want: failed,
		},
		"a body in the clear without the header, which the ingress does not accept": {
			master: master, mode: webhook.GCM, keys: rotated, body: []byte(payload), received: noon, revision: 2, plain: true, want: failed,
		},
		"accepted before encryption was turned on": {
			master: master, mode: webhook.GCM, keys: rotated, body: []byte(payload), received: noon, revision: 1, plain: true, want: inTheClear,
		},
		"accepted before encryption was turned off": {
			master: master, mode: webhook.NoEncryption, keys: []secret.SealedKey{old}, body: body(t, webhook.CBC, aesKey), received: noon, revision: 1, want: payload,
		},
		"no encryption": {
			mode: webhook.NoEncryption, body: []byte(payload), received: noon, revision: 2, plain: true, want: inTheClear,
		},
		"no master key": {
			mode: webhook.GCM, keys: rotated, body: body(t, webhook.GCM, newAESKey), received: noon, revision: 2, want: waits,
		},
		"another master key": {
			master: other, mode: webhook.GCM, keys: rotated, body: body(t, webhook.GCM, newAESKey), received: noon, revision: 2, want: waits,
		},
		"the key that fits can be unsealed, another one cannot": {
			master: master, mode: webhook.GCM, keys: []secret.SealedKey{newest, lost}, body: body(t, webhook.GCM, newAESKey), received: noon, revision: 2, want: payload,
		},
		"the key that may fit cannot be unsealed": {
			master: master, mode: webhook.GCM, keys: []secret.SealedKey{newest, lost}, body: body(t, webhook.CBC, aesKey), received: noon, revision: 2, want: waits,
		},
		"the key that cannot be unsealed had ended": {
			master: master, mode: webhook.GCM, keys: []secret.SealedKey{newest, lost}, body: body(t, webhook.CBC, aesKey), received: end, revision: 2, want: failed,
		},
		"no keys at all": {
			master: master, mode: webhook.GCM, body: body(t, webhook.GCM, newAESKey), received: noon, revision: 2, want: failed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &webhook.Webhook{Revision: 2}
			w.ID, w.Name, w.Encryption, w.AESKeys = webhookID, "Shop", tc.mode, tc.keys
			d := &delivery.Delivery{WebhookID: webhookID, Revision: tc.revision, ReceivedAt: tc.received, Body: tc.body}
			if !tc.plain {
				d.Headers = []delivery.Header{{Name: "X-Encrypted", Value: "TRUE"}}
			}
			payloads := sealed.NewPayloads(tc.master)
			for range 2 { // the second time from the cache
				got, failure, err := payloads.Open(w, d)
				switch {
				case err != nil && tc.want == waits:
					if !strings.Contains(err.Error(), secret.MasterKeyVariable) || !strings.Contains(err.Error(), `"Shop"`) {
						t.Errorf("the error %q does not say what to do for which webhook", err)
					}
				case failure != nil && tc.want == failed:
					want := &delivery.Failure{
						Reason: delivery.DecryptionFailed,
						Detail: "The body could not be decrypted: check the sender's key, mode and form of the body, and that it encrypts JSON.",
					}
					if diff := cmp.Diff(want, failure); diff != "" {
						t.Error(diff)
					}
				case tc.want == inTheClear && string(got) == string(tc.body) && failure == nil && err == nil:
				case string(got) != tc.want:
					t.Errorf("%q, %v, %v, want %s", got, failure, err, tc.want)
				}
			}
		})
	}
}

func TestKeysFollowTheRevision(t *testing.T) {
	t.Parallel()
	master := masterKey(t, "m")
	payloads := sealed.NewPayloads(master)
	d := &delivery.Delivery{Revision: 1, ReceivedAt: noon, Body: body(t, webhook.GCM, newAESKey), Headers: []delivery.Header{{Name: "X-Encrypted", Value: "true"}}}
	w := &webhook.Webhook{Revision: 1}
	w.ID, w.Encryption, w.AESKeys = webhookID, webhook.GCM, []secret.SealedKey{sealedKey(t, master, aesKey, webhook.GCM, nil)}
	if _, failure, _ := payloads.Open(w, d); failure == nil {
		t.Fatal("opened with another key")
	}
	saved := *w
	saved.Revision, saved.AESKeys = 2, []secret.SealedKey{sealedKey(t, master, newAESKey, webhook.GCM, nil)}
	if got, failure, err := payloads.Open(&saved, d); string(got) != payload {
		t.Errorf("the key of the new revision is not used: %v, %v", failure, err)
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	master := masterKey(t, "m")
	end := noon
	var rec webhook.Record
	rec.ID, rec.Name = webhookID, "Shop"
	rec.AESKeys = []secret.SealedKey{sealedKey(t, master, newAESKey, webhook.GCM, nil), sealedKey(t, master, aesKey, webhook.CBC, &end)}
	key, mode, err := sealed.Newest(master, rec, noon)
	if err != nil || key.Reveal() != newAESKey || mode != webhook.GCM {
		t.Errorf("%v in mode %s, %v", key, mode, err)
	}
	rec.AESKeys = rec.AESKeys[1:]
	if _, _, err := sealed.Newest(master, rec, noon); err == nil || !strings.Contains(err.Error(), "set-encryption") {
		t.Errorf("a key that has ended: %v", err)
	}
}

// TestAnEncryptedFormIsOpened: with CBC the payload has to show that the key was right,
// and a form is no JSON.
func TestAnEncryptedFormIsOpened(t *testing.T) {
	t.Parallel()
	master := masterKey(t, "m")
	const form = "user=ada&coins=5&note=caf%C3%A9"
	for _, mode := range []webhook.Encryption{webhook.CBC, webhook.GCM} {
		b, err := sealed.Seal(newKey(t, mode, aesKey), sealed.Text, sealed.Base64, []byte(form))
		if err != nil {
			t.Fatal(err)
		}
		d := &delivery.Delivery{ReceivedAt: noon, Headers: []delivery.Header{{Name: "X-Encrypted", Value: "true"}}, Body: []byte(b.Text)}
		rec := webhook.Record{ID: webhookID, Definition: webhook.Definition{Encryption: mode, Receive: &webhook.Receive{Payload: webhook.PayloadForm}}}
		rec.AESKeys = []secret.SealedKey{sealedKey(t, master, aesKey, mode, nil)}
		got, failure, err := sealed.NewPayloads(master).Open(&webhook.Webhook{Record: rec}, d)
		if string(got) != form || failure != nil || err != nil {
			t.Errorf("%s: %q, %v, %v", mode, got, failure, err)
		}
		rec.AESKeys = []secret.SealedKey{sealedKey(t, master, newAESKey, mode, nil)}
		if got, failure, err := sealed.NewPayloads(master).Open(&webhook.Webhook{Record: rec}, d); failure == nil || err != nil {
			t.Errorf("%s with another key: %q, %v, %v", mode, got, failure, err)
		}
	}
	// Of many wrong keys some give a padding that looks right, and none a form.
	b, err := sealed.Seal(newKey(t, webhook.CBC, aesKey), sealed.Text, sealed.Base64, []byte("user=ada&coins=5"))
	if err != nil {
		t.Fatal(err)
	}
	d := &delivery.Delivery{ReceivedAt: noon, Headers: []delivery.Header{{Name: "X-Encrypted", Value: "true"}}, Body: []byte(b.Text)}
	for i := range 3000 {
		wrong := fmt.Sprintf("%032d", i)
		rec := webhook.Record{ID: webhookID, Definition: webhook.Definition{Encryption: webhook.CBC, Receive: &webhook.Receive{Payload: webhook.PayloadForm}}}
		rec.AESKeys = []secret.SealedKey{sealedKey(t, master, wrong, webhook.CBC, nil)}
		if got, failure, err := sealed.NewPayloads(master).Open(&webhook.Webhook{Record: rec}, d); failure == nil || err != nil {
			t.Fatalf("the key %s gives %q, %v", wrong, got, err)
		}
	}
}
