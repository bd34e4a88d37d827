package cli_test

import (
	"strings"
	"testing"
)

// TestCBCIsWarnedOf: who knows one body in CBC can change amounts in it without the key.
func TestCBCIsWarnedOf(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	keyless := strings.ReplaceAll(strings.ReplaceAll(shopYAML, "name: Shop", "name: Game"), "auth: {api_key: true}", "auth: {}")
	const warning = "AES-256-CBC does not show whether a body was changed"
	for _, tc := range []struct {
		args []string
		want string // part of the warning, empty for none
	}{
		{[]string{"webhooks", "apply", "-f", i.write("keyed.yaml", shopYAML+"encryption: cbc\n"), "--yes"}, "The webhook's authentication keeps strangers out"},
		{[]string{"webhooks", "apply", "-f", "keyed.yaml", "--yes"}, ""}, // unchanged
		{[]string{"webhooks", "apply", "-f", i.write("keyless.yaml", keyless+"encryption: cbc\n"), "--yes"}, "auth: {api_key: true}"},
		{[]string{"webhooks", "apply", "-f", i.write("gcm.yaml", keyless+"encryption: gcm\n"), "--yes"}, ""},
		{[]string{"webhooks", "set-encryption", "Game", "cbc"}, "auth: {api_key: true}"},
		{[]string{"webhooks", "set-encryption", "Game", "cbc", "-o", "json"}, "gcm"},
		{[]string{"webhooks", "set-encryption", "Shop", "cbc"}, "gcm"},
		{[]string{"webhooks", "set-encryption", "Shop", "gcm"}, ""},
		{[]string{"webhooks", "set-encryption", "Shop", "none"}, ""},
	} {
		r := i.run(tc.args...)
		if warned := strings.Contains(r.stderr, warning); r.code != 0 || warned != (tc.want != "") || !strings.Contains(r.stderr, tc.want) {
			t.Errorf("%v: %+v", tc.args, r)
		}
	}
}

// TestAWeakKeyIsWarnedOf: a key that somebody made up takes less than a lifetime to find.
func TestAWeakKeyIsWarnedOf(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.json(&webhookJSON{}, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	for key, weak := range map[string]bool{
		strings.Repeat("a", 32): true, strings.Repeat("abcd", 8): true, givenKey: false, "9f86d081884c7d659a2feaa0c55ad015": false,
	} {
		r := i.answering(false, key+"\n", "webhooks", "set-encryption", "Shop", "gcm", "--aes-key-stdin")
		if r.code != 0 || strings.Contains(r.stderr, "different characters") != weak {
			t.Errorf("%s: %+v", key, r)
		}
	}
	if r := i.answering(false, "short\n", "webhooks", "set-encryption", "Shop", "gcm", "--aes-key-stdin"); r.code != 2 || !strings.Contains(r.stderr, "--aes-key-stdin: an AES key is") {
		t.Errorf("a key that is none: %+v", r)
	}
	if r := i.run("webhooks", "set-encryption", "Shop", "gcm", "--aes-key", givenKey, "--aes-key-stdin"); r.code != 2 {
		t.Errorf("a key given twice: %+v", r)
	}
}
