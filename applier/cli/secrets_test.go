package cli_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/appliertest"
)

type rotationJSON struct {
	Webhooks, Secrets, Versions, Removed int
	Left                                 []leftJSON
}

type leftJSON struct {
	ID       string
	Versions []int
	Cause    string
}

func aMasterKey(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

// sealedTexts returns the texts that the bucket has sealed, in whatever version.
func (i *installation) sealedTexts() (all []string) {
	i.t.Helper()
	messages, _ := i.server.BucketMessages()
	for _, m := range messages {
		for part := range strings.SplitSeq(string(m), `"sealed":"`) {
			if text, _, ok := strings.Cut(part, `"`); ok && strings.HasPrefix(text, "v1.") {
				all = append(all, text)
			}
		}
	}
	return all
}

// masters returns the ids of the master keys that sealed what is there.
func (i *installation) masters() map[string]int {
	i.t.Helper()
	ids := map[string]int{}
	for _, text := range i.sealedTexts() {
		ids[strings.Split(text, ".")[1]]++
	}
	return ids
}

func TestSecretsAreSealedUnderANewMasterKey(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	oldKey, newKey := i.env["COINHOOK_MASTER_KEY"], aMasterKey('n')
	var shop, game, plain encryptedJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML+"encryption: gcm\n"))
	i.json(&shop, "webhooks", "set-encryption", "Shop", "gcm", "--aes-key", givenKey)
	i.json(&map[string]any{}, "webhooks", "disable", "Shop")
	i.json(&map[string]any{}, "webhooks", "enable", "Shop")
	i.json(&game, "webhooks", "apply", "-f", i.write("game.yaml", strings.ReplaceAll(shopYAML, "name: Shop", "name: Game")+"encryption: cbc\n"))
	i.json(&plain, "webhooks", "apply", "-f", i.write("plain.yaml", strings.ReplaceAll(shopYAML, "name: Shop", "name: Plain")))
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")
	var body struct{ Body string }
	i.json(&body, "encrypt", "Shop", "-f", i.write("payload.json", encPayload))
	i.publishEncrypted(shop.ID, body.Body, time.Now())
	if len(i.masters()) != 1 || len(i.sealedTexts()) != 8 { // Shop: 1+2+2+2, Game: 1
		t.Fatalf("sealed before: %v", i.masters())
	}

	var before, after []map[string]any
	i.json(&before, "webhooks", "versions", "Shop")

	i.env["COINHOOK_MASTER_KEY"] = newKey
	if r := i.run("encrypt", "Shop", "-f", "payload.json"); r.code == 0 || !strings.Contains(r.stderr, "under another COINHOOK_MASTER_KEY") {
		t.Errorf("without the old key: %+v", r)
	}
	var done rotationJSON
	r := i.answering(false, oldKey+"\n", "secrets", "rotate", "--old-key-stdin", "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &done); err != nil || r.code != 0 {
		t.Fatalf("rotated: %+v, %v", r, err)
	}
	if want := (rotationJSON{Webhooks: 3, Secrets: 8, Versions: 5, Left: []leftJSON{}}); !cmp.Equal(want, done) {
		t.Errorf("the account (-want +got):\n%s", cmp.Diff(want, done))
	}
	if ids := i.masters(); len(ids) != 1 {
		t.Errorf("sealed under %v afterwards", ids)
	}

	// The old key is not needed any more: not for what waits, not for older versions.
	i.settleAll()
	if got := i.coins("a@example.com"); got != "40" {
		t.Errorf("%s coins of the delivery that was pending, want 40", got)
	}
	if i.json(&after, "webhooks", "versions", "Shop"); len(after) != 4 || !cmp.Equal(before, after) {
		t.Errorf("the versions and what changed in them (-before +after):\n%s", cmp.Diff(before, after))
	}
	if r := i.answering(false, oldKey, "secrets", "rotate", "--old-key-stdin"); r.code != 0 ||
		!strings.Contains(r.stdout, "0 secrets sealed under the new key") || !strings.Contains(r.stdout, "Nothing in the bucket needs another master key") {
		t.Errorf("rotated twice: %+v", r)
	}
	// Also the other way: what a list opens needs no old key from elsewhere.
	i.env["COINHOOK_MASTER_KEY"] = aMasterKey('l') + "," + newKey
	if i.json(&done, "secrets", "rotate"); done.Secrets != 8 || len(i.masters()) != 1 {
		t.Errorf("with a list of keys: %+v", done)
	}
}

func TestARotationSaysWhatItCannotSeal(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop, game encryptedJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML+"encryption: gcm\n"))
	before := i.env["COINHOOK_MASTER_KEY"]
	i.env["COINHOOK_MASTER_KEY"] = aMasterKey('x')
	i.json(&game, "webhooks", "apply", "-f", i.write("game.yaml", strings.ReplaceAll(shopYAML, "name: Shop", "name: Game")+"encryption: gcm\n"))
	texts := i.sealedTexts()

	i.env["COINHOOK_MASTER_KEY"] = aMasterKey('n')
	r := i.answering(false, before, "secrets", "rotate", "--old-key-stdin")
	if r.code != 1 || !strings.Contains(r.stdout, "1 secret sealed under the new key") || !strings.Contains(r.stdout, game.ID) ||
		strings.Contains(r.stdout, "Nothing in the bucket needs another") || !strings.Contains(r.stderr, "not every secret") {
		t.Errorf("with one key of two: %+v", r)
	}
	if now := i.sealedTexts(); len(now) != 2 || !strings.Contains(strings.Join(now, " "), texts[1]) {
		t.Errorf("what could not be opened is not there any more: %v", now)
	}

	for name, tc := range map[string]struct{ key, stdin, want string }{
		"no master key":   {"", before, "COINHOOK_MASTER_KEY is not set"},
		"no old key":      {aMasterKey('n'), "", "the old key on the standard input"},
		"no key at all":   {aMasterKey('n'), "correct horse", "the old key on the standard input"},
		"a bad new key":   {"nonsense", before, "32 random bytes"},
		"a bad list":      {aMasterKey('n') + ",x", before, "32 random bytes"},
		"not the old one": {aMasterKey('n'), aMasterKey('z'), ""},
	} {
		i.env["COINHOOK_MASTER_KEY"] = tc.key
		if r := i.answering(false, tc.stdin, "secrets", "rotate", "--old-key-stdin"); tc.want != "" && (r.code != 2 || !strings.Contains(r.stderr, tc.want)) || tc.want == "" && r.code != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestADeletedWebhooksSecretsAreGone: from its history, too. Its versions stay.
func TestADeletedWebhooksSecretsAreGone(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop, back encryptedJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML+"encryption: gcm\n"))
	i.json(&map[string]any{}, "webhooks", "set-encryption", "Shop", "gcm", "--aes-key", givenKey)
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")
	var body struct{ Body string }
	i.json(&body, "encrypt", "Shop", "-f", i.write("payload.json", encPayload))
	pending := i.publishEncrypted(shop.ID, body.Body, time.Now())
	if len(i.sealedTexts()) != 3 {
		t.Fatalf("sealed before: %v", i.sealedTexts())
	}
	r := i.run("webhooks", "delete", "Shop", "--yes")
	if r.code != 0 || !strings.Contains(r.stdout, "AES keys") {
		t.Errorf("deleted: %+v", r)
	}
	if left := i.sealedTexts(); len(left) != 0 {
		t.Errorf("the bucket still has %d sealed keys", len(left))
	}
	i.settleAll()
	var d deliveryJSON
	if i.json(&d, "deliveries", "show", pending.String()); d.Reason == nil || *d.Reason != "webhook_deleted" {
		t.Errorf("the delivery that was pending: %+v", d)
	}

	// It comes back with its versions, and the sender's key opens what failed once it is set again.
	if i.json(&back, "webhooks", "undelete", "Shop"); len(back.AESKey) != 32 || back.ID != shop.ID || back.Version != 4 {
		t.Errorf("back as %+v", back)
	}
	var versions []map[string]any
	if i.json(&versions, "webhooks", "versions", "Shop"); len(versions) != 4 {
		t.Errorf("%d versions: %v", len(versions), versions)
	}
	i.json(&map[string]any{}, "webhooks", "set-encryption", "Shop", "gcm", "--aes-key", givenKey)
	stop := i.startApplier()
	defer stop()
	i.json(&map[string]any{}, "dlq", "replay", "--webhook", "Shop", "--reason", "webhook_deleted")
	if got := i.coins("a@example.com"); got != "40" {
		t.Errorf("%s coins after the replay, want 40", got)
	}
}

// TestSecretsAreRotatedWhileAppliersRun: those have both keys, and nothing that is sent
// meanwhile fails or waits.
func TestSecretsAreRotatedWhileAppliersRun(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	oldKey, newKey := i.env["COINHOOK_MASTER_KEY"], aMasterKey('n')
	var shop encryptedJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML+"encryption: gcm\n"))
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")
	var body struct{ Body string }
	i.json(&body, "encrypt", "Shop", "-f", i.write("payload.json", encPayload))

	i.env["COINHOOK_MASTER_KEY"] = newKey + "," + oldKey
	stop := i.startApplier()
	var done rotationJSON
	const each = 5
	for range each {
		i.publishEncrypted(shop.ID, body.Body, time.Now())
	}
	i.json(&done, "secrets", "rotate")
	for range each {
		i.publishEncrypted(shop.ID, body.Body, time.Now())
	}
	appliertest.Eventually(t, "both are applied", func() bool { return i.coins("a@example.com") == "400" })
	stop()
	if done.Secrets != 1 || len(done.Left) != 0 {
		t.Errorf("the account: %+v", done)
	}

	i.env["COINHOOK_MASTER_KEY"] = newKey
	i.publishEncrypted(shop.ID, body.Body, time.Now())
	i.settleAll()
	if got := i.coins("a@example.com"); got != "440" {
		t.Errorf("%s coins with the new key alone, want 440", got)
	}
	var failed []any
	if i.json(&failed, "deliveries", "list", "--status", "failed"); len(failed) > 0 {
		t.Errorf("failed meanwhile: %v", failed)
	}
}
